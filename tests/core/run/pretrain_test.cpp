#include "core/run/pretrain.h"

#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/yaml.h"
#include "core/model/transformer.h"
#include "core/run/vocabulary/learnt_tokenizer.h"
#include "core/text/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::run;
using namespace mneme::test;
using Catch::Contains;

namespace {
constexpr const char* kRows =
    R"([{"prompt": "Which colour? red", "answer": "warm"}, {"prompt": "Which colour? blue", "answer": "cold"}])";

DocumentOptions text_of(const std::filesystem::path& file, bool answers = true) {
  return {.kind = "files", .files = {file}, .answers = answers};
}

/// Sentences enough to learn some dozens of pieces of.
std::vector<std::string> sentences() {
  std::vector<std::string> made;
  for (const char* who : {"the cat", "a dog", "my horse", "our bird"})
    for (const char* what : {"sees", "hears", "follows", "forgets"})
      for (const char* whom : {"the man", "a child", "nobody", "the others"})
        made.push_back(fmt::format("{} {} {} and {} {} {} again.", who, what, whom, whom, what, who));
  return made;
}

/// A config for `mneme pretrain` of a tiny model, trained for a moment.
PretrainOptions tiny(const std::filesystem::path& output, const std::string& more = "", int decoder_layers = 0) {
  return read_pretrain_options(config::parse_yaml(
      fmt::format("output: {}\nsteps: 30\nbatch_tokens: 256\nmax_length: 64\nwarmup_steps: 5\nlearning_rate: 1e-2\n"
                  "model: {{hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_decoder_layers: {},\n"
                  "  num_attention_heads: 2, num_key_value_heads: 2, head_dim: 8}}\n{}",
                  output.string(), decoder_layers, more),
      "test.yaml"));
}
}  // namespace

TEST_CASE("documents of rows are read with their answers or without", "[pretrain]") {
  const TemporaryDirectory folder("pretrain");
  const auto file = folder.path() / "rows.json";
  write_file_atomically(file, kRows);
  using Row = std::pair<std::string, std::string>;
  Documents with(text_of(file)), without(text_of(file, false));
  // Each round shows every document once.
  for (int round = 0; round < 3; ++round) {
    CHECK(std::set<Row>{with.next(), with.next()} ==
          std::set<Row>{{"Which colour? red", "warm"}, {"Which colour? blue", "cold"}});
    CHECK(std::set<Row>{without.next(), without.next()} ==
          std::set<Row>{{"", "Which colour? red"}, {"", "Which colour? blue"}});
  }
}

TEST_CASE("paragraphs of a plain text are documents; files without any are refused", "[pretrain]") {
  const TemporaryDirectory folder("pretrain");
  const auto file = folder.path() / "plain.txt", empty = folder.path() / "empty.txt", bad = folder.path() / "bad.json";
  write_file_atomically(file, "one\ntwo\n\n\n\nthree");
  Documents documents(text_of(file));
  CHECK(std::set<std::string>{documents.next().second, documents.next().second} ==
        std::set<std::string>{"one\ntwo", "three"});
  write_file_atomically(empty, "");
  CHECK_THROWS_WITH(Documents(text_of(empty)), Contains("text.files: the 1 file(s) hold no document"));
  write_file_atomically(bad, R"([{"prompt": "x", "answer": "y"}, {"prompt": "x"}])");
  CHECK_THROWS_WITH(Documents(text_of(bad)), Contains("bad.json: row 1: has no \"answer\""));
  write_file_atomically(bad, "{");
  CHECK_THROWS_WITH(Documents(text_of(bad)), Contains("bad.json:1:2: is not JSON here; expected an array of rows"));
}

TEST_CASE("pretraining from files names files, and from generated text none", "[pretrain]") {
  CHECK_THROWS_WITH(tiny("out", "text: {kind: files}"), Contains("text.files: has 0 names, but text.kind is files"));
  CHECK_THROWS_WITH(tiny("out", "text: {files: [a.txt]}"),
                    Contains("text.files: has 1 names, but text.kind is generated"));
}

TEST_CASE("a decoder reads prompt and text on end, an encoder-decoder from one to the other", "[pretrain]") {
  const text::ByteTokenizer bytes;
  constexpr auto kBos = text::ByteTokenizer::kBos, kEos = text::ByteTokenizer::kEos;
  DocumentForm decoder(bytes, false, 16, 1), both(bytes, true, 4, 1);
  CHECK(decoder.sample({"ab", "c"})->tokens == Tokens{kBos, 'a', 'b', 'c', kEos});
  CHECK(decoder.sample({"ab", "c"})->first_label == 3);
  CHECK(decoder.sample({"", "ab"})->tokens == Tokens{kBos, 'a', 'b', kEos});
  CHECK(decoder.sample({"", "ab"})->first_label == 1);
  CHECK(decoder.sample({"", std::string(40, 'x')})->tokens.size() == 16);
  // Both sides are cut; what follows the prompt is what is learnt.
  CHECK(both.sample({"abcdef", "uvwxyz"})->tokens == Tokens{kBos, 'a', 'b', 'c', 'u', 'v', 'w', 'x'});
  CHECK(both.sample({"abcdef", "uvwxyz"})->first_label == 4);
  // Plain text is parted somewhere: nothing is lost, and not always at the same place.
  DocumentForm parted(bytes, true, 64, 1);
  std::set<std::int64_t> places;
  for (int i = 0; i < 20; ++i) {
    const auto sample = parted.sample({"", "abcdef"});
    CHECK(sample->tokens == Tokens{kBos, 'a', 'b', 'c', 'd', 'e', 'f', kEos});
    places.insert(sample->first_label);
  }
  CHECK(places.size() > 3);
  CHECK(*places.begin() >= 1);
  CHECK(*places.rbegin() <= 7);
}

TEST_CASE("a learnt vocabulary gives any text back to a decoder, and ends texts for an encoder", "[pretrain]") {
  const TemporaryDirectory folder("pretrain");
  write_learnt_tokenizer(folder.path(), sentences(), 330, false);
  const auto llama = text::load_tokenizer(folder.path());
  CHECK(llama->vocab_size() == 330);
  const std::string text = "the cat sees Überraschung\n 中文 twice";
  CHECK(llama->decode(llama->encode(text)) == text);
  CHECK(llama->encode("the cat sees nobody").size() < 8);
  CHECK(llama->bos() == 1);
  CHECK(llama->eos() == 2);

  const TemporaryDirectory other("pretrain");
  write_learnt_tokenizer(other.path(), sentences(), 36, true);
  const auto t5 = text::load_tokenizer(other.path());
  CHECK(t5->vocab_size() == 36);
  CHECK(t5->pad() == 0);
  const text::TokenIds ids = t5->encode("my horse follows a child");
  CHECK(t5->decode(ids) == "my horse follows a child");
  CHECK(t5->with_special(ids).back() == t5->eos());
  CHECK_THROWS_WITH(write_learnt_tokenizer(other.path(), {"a b"}, 5000, true),
                    Contains("vocabulary: 5000 pieces cannot be learnt from this text"));
}

TEST_CASE("pretraining writes a model that its tokenizer fits, of either shape", "[pretrain]") {
  const TemporaryDirectory data("pretrain");
  std::string text;
  for (const std::string& sentence : sentences()) text += sentence + "\n\n";
  write_file_atomically(data.path() / "text.txt", text);
  const std::string files = fmt::format("text: {{kind: files, files: [{}]}}\n", (data.path() / "text.txt").string());
  for (const int decoder_layers : {0, 1}) {
    for (const int pieces : {0, decoder_layers > 0 ? 36 : 330}) {
      const std::string vocabulary = files + fmt::format("vocabulary: {}\n", pieces);
      INFO(decoder_layers << " decoder layers, " << vocabulary);
      const TemporaryDirectory folder("pretrain");
      const PretrainOptions options = tiny(folder.path() / "model", vocabulary, decoder_layers);
      const double loss = pretrain(options);
      const auto model = model::Transformer::load(options.output, c10::ScalarType::Float);
      const auto tokenizer = text::load_tokenizer(options.output);
      CHECK(model->config().vocab_size == tokenizer->vocab_size());
      CHECK(model->config().encoder_decoder() == (decoder_layers > 0));
      CHECK(model->config().eos_token_ids == std::vector<std::int32_t>{*tokenizer->eos()});
      // Better than a guess among all tokens.
      CHECK(loss < 0.95 * std::log(tokenizer->vocab_size()));
    }
  }
}

TEST_CASE("what a model learns depends on text.answers, and the same settings give the same model", "[pretrain]") {
  const TemporaryDirectory folder("pretrain");
  const auto file = folder.path() / "rows.json";
  write_file_atomically(file, kRows);
  const auto trained = [&](const std::string& name, const char* answers) {
    const auto options = tiny(folder.path() / name,
                              fmt::format("text: {{kind: files, files: [{}], answers: {}}}\n", file.string(), answers));
    pretrain(options);
    return read_file(options.output / "model.safetensors");
  };
  const std::string with = trained("with", "true");
  CHECK(with == trained("again", "true"));
  CHECK(with != trained("without", "false"));
}
