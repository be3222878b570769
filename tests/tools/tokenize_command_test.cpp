#include "core/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;
using test::Outcome;

namespace {
const std::string kFixtures = std::string(MNEME_SOURCE_DIR) + "/tests/parity/tokenizers/fixtures/";

Outcome tokenize(const std::string& model, const std::string& arguments) {
  return test::run_program("mneme", "tokenize --model " + kFixtures + model + " " + arguments, true);
}
}  // namespace

TEST_CASE("mneme tokenize prints the ids of each line", "[command]") {
  const test::TemporaryDirectory directory("tokenize-command");
  const std::string file = (directory / "lines").string();
  write_file_atomically(file, "ab\n\n a\n");
  CHECK(tokenize("llama_json", "--file " + file).output == tokenize("llama_json", "< " + file).output);
  const Outcome lines = tokenize("gpt2_json", "--file " + file);
  CHECK(lines.code == 0);
  CHECK(std::count(lines.output.begin(), lines.output.end(), '\n') == 3);
  CHECK_THAT(lines.output, Contains("\n[]\n"));
  CHECK(tokenize("gpt2_json", "--count --file " + file).output.starts_with("3 lines, 4 bytes, "));
  CHECK(tokenize("t5_json", "--special ''").output == "[1]\n");
  CHECK_THAT(tokenize("llama_json", "--pieces a").output, Contains("\"\u2581"));
  write_file_atomically(file, "\"a\\nb\"\n");
  const std::string ids = tokenize("gpt2_json", "--json --file " + file).output;
  write_file_atomically(file, ids);
  CHECK(tokenize("gpt2_json", "--decode --json --file " + file).output == "\"a\\nb\"\n");
  CHECK(tokenize("gpt2_json", "--decode --file " + file).output == "a\nb\n");
}

TEST_CASE("mneme tokenize decodes with special tokens or without", "[command]") {
  CHECK(tokenize("t5_json", "--decode '[1]'").output == "</s>\n");
  CHECK(tokenize("t5_json", "--decode --skip-special '[1]'").output == "\n");
}

TEST_CASE("mneme tokenize says what is wrong, with the exit code of the cause", "[command]") {
  const auto refuse = [](const std::string& arguments, int code, const std::string& message) {
    const Outcome outcome = tokenize("gpt2_json", arguments);
    CHECK(outcome.code == code);
    CHECK_THAT(outcome.output, Contains(message));
  };
  refuse("--peices x", 2, "did you mean '--pieces'?");
  refuse("a b", 2, "expected one TEXT; quote it");
  refuse("x --file y", 2, "either TEXT or --file FILE");
  refuse("--file", 2, "--file needs a value");
  refuse("--file /nowhere", 1, "/nowhere: cannot be read");
  refuse("--json x", 1, "TEXT: is not JSON; expected a string");
  refuse("--decode x", 1, "TEXT: is not JSON; expected an array of ids");
  refuse("--decode '[-1]'", 1, "holds -1; expected an array of ids");
  refuse("\"$(printf 'a\\377')\"", 1, "byte 1 (0xFF) is not part of valid UTF-8");
  CHECK(test::run_program("mneme", "tokenize x", true).code == 2);
  CHECK_THAT(tokenize("none", "x").output, Contains("none: is not a directory"));
}
