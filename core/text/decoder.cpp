#include "core/text/decoder.h"

#include <charconv>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/byte_characters.h"
#include "core/text/steps.h"
#include "core/text/token_pattern.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

Decoder::~Decoder() = default;

bool Decoder::bytes_of(std::string_view, std::string&) const { return false; }

namespace {
constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// Bytes as text: each longest part of what is no UTF-8 becomes one replacement character (Unicode, section 3.9).
std::string lossy_utf8(const std::string& bytes) {
  std::string out;
  std::string_view rest = bytes;
  while (const auto bad = find_invalid_utf8(rest)) {
    out += rest.substr(0, *bad);
    out += kReplacementCharacter;
    rest.remove_prefix(*bad);
    // A lead byte takes the continuation bytes with it that could follow it in valid UTF-8.
    const auto lead = static_cast<unsigned char>(rest[0]);
    const std::size_t wanted = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : 1;
    std::size_t used = 1;
    while (used < wanted && used < rest.size()) {
      const auto next = static_cast<unsigned char>(rest[used]);
      const unsigned char low = used > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
      const unsigned char high = used > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
      if (next < low || next > high) break;
      ++used;
    }
    rest.remove_prefix(used);
  }
  return out += rest;
}

std::size_t total_size(const std::vector<std::string>& tokens) {
  std::size_t size = 0;
  for (const std::string& token : tokens) size += token.size();
  return size;
}

class Steps final : public Decoder {
 public:
  explicit Steps(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(std::vector<std::string>& tokens) const override {
    const std::size_t most = total_size(tokens) * 256 + (1 << 16);
    for (const auto& step : steps_) {
      step->apply(tokens);
      if (total_size(tokens) > most)
        throw DataError(
            fmt::format("the tokenizer's decoder makes more than {} bytes of {} tokens", most, tokens.size()));
    }
  }
  bool bytes_of(std::string_view token, std::string& bytes) const override {
    for (const auto& step : steps_)
      if (step->bytes_of(token, bytes)) return true;
    return false;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

class ByteLevel final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += from_byte_characters(token).value_or(token);
    tokens = {lossy_utf8(bytes)};
  }
  bool bytes_of(std::string_view token, std::string& bytes) const override {
    bytes += from_byte_characters(token).value_or(std::string(token));
    return true;
  }
};

/// Tokens such as <0xE4> become the bytes that they name, or one replacement character each where those are no UTF-8.
class ByteFallback final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (find_invalid_utf8(bytes)) {
        out.insert(out.end(), bytes.size(), std::string(kReplacementCharacter));
      } else {
        out.push_back(bytes);
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (bytes_of(token, bytes)) continue;
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens = std::move(out);
  }

  bool bytes_of(std::string_view token, std::string& bytes) const override {
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return false;
    unsigned value = 0;
    const std::string_view digits = token.substr(token[3] == '+' ? 4 : 3, token[3] == '+' ? 1 : 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || end != digits.data() + digits.size()) return false;
    bytes += static_cast<char>(value);
    return true;
  }
};

class Metaspace final : public Decoder {
 public:
  Metaspace(std::string replacement, bool has_prefix) : replacement_(std::move(replacement)), has_prefix_(has_prefix) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string out;
      std::size_t done = 0;
      for (std::size_t at = tokens[i].find(replacement_); at != std::string::npos;
           at = tokens[i].find(replacement_, done)) {
        out.append(tokens[i], done, at - done);
        if (i > 0 || !has_prefix_) out += ' ';
        done = at + replacement_.size();
      }
      tokens[i] = out.append(tokens[i], done);
    }
  }

 private:
  std::string replacement_;
  bool has_prefix_;
};

class Fuse final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens = {std::move(all)};
  }
};

class Strip final : public Decoder {
 public:
  Strip(std::string content, std::int64_t start, std::int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (std::int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (std::int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string content_;
  std::int64_t start_, stop_;
};

class Replace final : public Decoder {
 public:
  Replace(TokenPattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      std::size_t done = 0;
      pattern_.for_each(token, [&](std::size_t begin, std::size_t end) {
        out.append(token, done, begin - done);
        out += content_;
        done = end;
      });
      token = out.append(token, done);
    }
  }

 private:
  TokenPattern pattern_;
  std::string content_;
};

std::unique_ptr<Decoder> make_metaspace(JsonFields& fields) {
  const std::string replacement = fields.text("replacement"), scheme = fields.text("prepend_scheme", "always");
  const bool prefix = fields.boolean("add_prefix_space", true);
  for (const char* key : {"split", "str_rep"}) fields.ignore(key);
  if (replacement.empty()) fields.fail("replacement", "is empty");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    fields.fail("prepend_scheme", fmt::format("is '{}'; expected one of first, never, always", scheme));
  return std::make_unique<Metaspace>(replacement, prefix && scheme != "never");
}

std::unique_ptr<Decoder> make_strip(JsonFields& fields) {
  constexpr std::int64_t kMost = 1 << 20;
  const std::string content = fields.text("content");
  if (decode_utf8(content).size() != 1) fields.fail("content", fmt::format("is '{}'; expected one character", content));
  const std::int64_t start = fields.integer("start", kMost), stop = fields.integer("stop", kMost);
  return std::make_unique<Strip>(content, start, stop);
}

std::unique_ptr<Decoder> make_simple(const std::string& type, JsonFields& fields, bool /*last*/) {
  if (type == "ByteLevel") {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(key);
    return std::make_unique<ByteLevel>();
  }
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Metaspace") return make_metaspace(fields);
  if (type == "Strip") return make_strip(fields);
  if (type == "Replace") {
    TokenPattern pattern = make_pattern(fields.object("pattern"), fields.where("pattern"));
    return std::make_unique<Replace>(std::move(pattern), fields.text("content"));
  }
  fields.fail("type", fmt::format("'{}' is not supported; expected Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, "
                                  "Strip or Replace",
                                  type));
}
}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json* value, const std::string& where) {
  return value == nullptr ? nullptr : read_steps<Decoder, Steps>(*value, where, "decoders", make_simple);
}

}  // namespace mneme::text
