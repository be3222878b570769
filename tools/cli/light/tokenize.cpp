#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/unicode.h"
#include "core/text/tokenizer.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {

namespace {
using Json = nlohmann::json;
using text::TokenIds;

constexpr const char* kHelp =
    R"(usage: mneme tokenize --model DIR [--special] [--json] [--pieces] [--count] [--file FILE | TEXT]
       mneme tokenize --model DIR --decode [--skip-special] [--json] [--file FILE | IDS]

Prints the token ids of each line of standard input, of FILE or of TEXT as a JSON array, one per line.
--special       with the special tokens that the model's tokenizer puts around a text
--json          a line is a JSON string, so that a text may hold line ends
--pieces        instead of ids, each as [id, token as the vocabulary writes it]
--count         instead of ids, one line: lines, bytes and tokens of all
--decode        the way back: a line is a JSON array of ids, printed is its text, with --json as a JSON string
--skip-special  leaves special tokens out of decoded texts
)";

struct Options {
  std::string model;
  std::optional<std::string> file, text;
  bool special = false, json = false, pieces = false, count = false, decode = false, skip_special = false;
};

Options parse_options(const Arguments& arguments) {
  static const std::vector<std::string> kNames{"--model",  "--file",  "--special", "--json",
                                               "--pieces", "--count", "--decode",  "--skip-special"};
  Options options;
  const auto flag = [&](const std::string& name) -> bool* {
    if (name == "--special") return &options.special;
    if (name == "--json") return &options.json;
    if (name == "--pieces") return &options.pieces;
    if (name == "--count") return &options.count;
    if (name == "--decode") return &options.decode;
    if (name == "--skip-special") return &options.skip_special;
    return nullptr;
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i];
    if (bool* set = flag(name)) {
      *set = true;
      continue;
    }
    if (!name.starts_with("--")) {
      if (options.text) throw UsageError("tokenize: expected one TEXT; quote it");
      options.text = name;
      continue;
    }
    std::optional<std::string> value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    }
    if (name != "--model" && name != "--file")
      throw UsageError(fmt::format("tokenize: unknown option '{}'{}", name, hint(name, kNames)));
    if (!value) throw UsageError(fmt::format("tokenize: {} needs a value", name));
    (name == "--model" ? options.model : options.file.emplace()) = *value;
  }
  if (options.model.empty()) throw UsageError("tokenize: expected --model DIR");
  if (options.text && options.file) throw UsageError("tokenize: expected either TEXT or --file FILE");
  return options;
}

/// Calls use(line, where) for each line of the input, without its line end.
template <class Use>
void for_each_line(const Options& options, Use use) {
  if (options.text) return use(*options.text, std::string("TEXT"));
  const std::string path = !options.file || *options.file == "-" ? "/dev/stdin" : *options.file;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw DataError(fmt::format("{}: cannot be read; expected a text file", path));
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) use(line, fmt::format("{}:{}", path, number));
}

Json parse_line(const std::string& line, const std::string& where, const char* expected) {
  const Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded()) throw DataError(fmt::format("{}: is not JSON; expected {}", where, expected));
  return json;
}

std::string text_of_line(const std::string& line, const std::string& where, bool json) {
  if (!json) return line;
  const Json value = parse_line(line, where, "a string");
  if (!value.is_string()) throw DataError(fmt::format("{}: is {}; expected a string", where, value.type_name()));
  return value.get<std::string>();
}

TokenIds ids_of_line(const std::string& line, const std::string& where) {
  const Json value = parse_line(line, where, "an array of ids");
  if (!value.is_array()) throw DataError(fmt::format("{}: is {}; expected an array of ids", where, value.type_name()));
  TokenIds ids;
  for (const Json& id : value) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX)
      throw DataError(fmt::format("{}: holds {}; expected an array of ids", where, id.dump()));
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

void append_ids(const TokenIds& ids, const text::Tokenizer* tokenizer, std::string& out) {
  out += '[';
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += ',';
    if (tokenizer == nullptr) {
      fmt::format_to(std::back_inserter(out), "{}", ids[i]);
    } else {
      const Json token = tokenizer->token(ids[i]).value_or("");
      fmt::format_to(std::back_inserter(out), "[{},{}]", ids[i],
                     token.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
  }
  out += "]\n";
}

void write_out(std::string& out, std::size_t most) {
  if (out.size() <= most) return;
  std::fwrite(out.data(), 1, out.size(), stdout);
  out.clear();
}

void encode_lines(const Options& options, const text::Tokenizer& tokenizer) {
  constexpr std::size_t kBuffer = 1 << 16;
  std::size_t lines = 0, bytes = 0, tokens = 0;
  std::string out;
  for_each_line(options, [&](const std::string& line, const std::string& where) {
    const std::string text = text_of_line(line, where, options.json);
    TokenIds ids = with_context("tokenizing " + where, [&] { return tokenizer.encode(text); });
    if (options.special) ids = tokenizer.with_special(std::move(ids));
    ++lines;
    bytes += text.size();
    tokens += ids.size();
    if (options.count) return;
    append_ids(ids, options.pieces ? &tokenizer : nullptr, out);
    write_out(out, kBuffer);
  });
  if (options.count) out = fmt::format("{} lines, {} bytes, {} tokens\n", lines, bytes, tokens);
  write_out(out, 0);
}

void decode_lines(const Options& options, const text::Tokenizer& tokenizer) {
  const auto special = options.skip_special ? text::SpecialTokens::kSkip : text::SpecialTokens::kKeep;
  for_each_line(options, [&](const std::string& line, const std::string& where) {
    std::string text =
        with_context("decoding " + where, [&] { return tokenizer.decode(ids_of_line(line, where), special); });
    if (options.json) text = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
    text += '\n';
    write_out(text, 0);
  });
}

int run_tokenize(const Arguments& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    fmt::print("{}", kHelp);
    return kSuccess;
  }
  const Options options = parse_options(arguments);
  const std::unique_ptr<text::Tokenizer> tokenizer = text::load_tokenizer(options.model);
  options.decode ? decode_lines(options, *tokenizer) : encode_lines(options, *tokenizer);
  return kSuccess;
}
}  // namespace

Command tokenize_command() {
  return {"tokenize", "--model DIR [--special] [--json] [--decode]", "token ids of texts, and the way back",
          run_tokenize};
}

}  // namespace mneme::cli
