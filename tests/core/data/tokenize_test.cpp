#include "core/data/tokenize.h"

#include <thread>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/unicode.h"
#include "core/text/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::data;
namespace fs = std::filesystem;

namespace {
const text::ByteTokenizer kTokenizer;

TaskSpec spec() {
  TaskSpec spec;
  spec.name = "toy";
  spec.metric = "accuracy";
  spec.instruction = "Do:\n";
  spec.cue = "\nSo:";
  return spec;
}

Example row(const std::string& body, const std::string& answer = "yes") {
  Example example;
  example.row_id = "r7";
  example.prompt = "Do:\n" + body + "\nSo:";
  example.answer = answer;
  return example;
}

std::string text_of(std::span<const std::int32_t> ids) { return kTokenizer.decode(ids); }

LengthLimits total(std::int64_t tokens) {
  LengthLimits limits;
  limits.max_total = tokens;
  return limits;
}

std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}
}  // namespace

TEST_CASE("without limits a row is its prompt and its answer", "[tokenize]") {
  const auto t = tokenize(kTokenizer, spec(), row("body"), {});
  CHECK(text_of(t.prompt) == "Do:\nbody\nSo:");
  CHECK(text_of(t.answer) == "yes");
  CHECK(t.cut_tokens == 0);
  CHECK(t.answer_cut_tokens == 0);
}

TEST_CASE("a long prompt loses its body, never its instruction and cue", "[tokenize]") {
  // 4 + body + 4 of the prompt, 3 of the answer, 2 special: 13 without the body.
  const auto t = tokenize(kTokenizer, spec(), row("0123456789"), total(20));
  CHECK(text_of(t.prompt) == "Do:\n0123456\nSo:");
  CHECK(text_of(t.answer) == "yes");
  CHECK(t.cut_tokens == 3);
  CHECK(t.prompt.size() + t.answer.size() + 2 == 20);
  CHECK(tokenize(kTokenizer, spec(), row("0123456789"), total(23)).cut_tokens == 0);
  TaskSpec dialogue = spec();
  dialogue.cut_front = true;
  CHECK(text_of(tokenize(kTokenizer, dialogue, row("0123456789"), total(20)).prompt) == "Do:\n3456789\nSo:");
}

TEST_CASE("each limit counts what it says", "[tokenize]") {
  LengthLimits limits;
  limits.max_prompt = 12;
  CHECK(text_of(tokenize(kTokenizer, spec(), row("0123456789"), limits).prompt) == "Do:\n0123\nSo:");
  limits = total(20);
  limits.special = 0;
  CHECK(text_of(tokenize(kTokenizer, spec(), row("0123456789"), limits).prompt) == "Do:\n012345678\nSo:");
  limits.separate_answer = true;
  CHECK(tokenize(kTokenizer, spec(), row("0123456789"), limits).cut_tokens == 0);
  limits.max_answer = 2;
  const auto t = tokenize(kTokenizer, spec(), row("0123456789"), limits);
  CHECK(text_of(t.answer) == "ye");
  CHECK(t.answer_cut_tokens == 1);
}

TEST_CASE("a longer tail is kept as long as it fits", "[tokenize]") {
  TaskSpec choice = spec();
  choice.keep_from = "\nOptions:";
  const Example question = row("0123456789\nOptions: A B");  // head 4, question 10, options 13, cue 4, answer 3
  const auto prompt = [&](std::int64_t limit) {
    return text_of(tokenize(kTokenizer, choice, question, total(limit)).prompt);
  };
  CHECK(prompt(36) == question.prompt);
  CHECK(prompt(35) == "Do:\n012345678\nOptions: A B\nSo:");
  CHECK(prompt(26) == "Do:\n\nOptions: A B\nSo:");
  CHECK(prompt(25) == "Do:\n0123456789\nO\nSo:");
}

TEST_CASE("a cut goes between characters", "[tokenize]") {
  const std::string body = "aé中😀z";  // 1 + 2 + 3 + 4 + 1 bytes
  TaskSpec back = spec();
  back.cut_front = true;
  for (std::int64_t limit = 13; limit <= 24; ++limit) {
    INFO(limit);
    const auto front_cut = tokenize(kTokenizer, back, row(body), total(limit));
    const auto back_cut = tokenize(kTokenizer, spec(), row(body), total(limit));
    for (const auto* t : {&front_cut, &back_cut}) {
      const std::string prompt = text_of(t->prompt);
      CHECK_FALSE(find_invalid_utf8(prompt).has_value());
      CHECK(static_cast<std::int64_t>(t->prompt.size()) + 5 <= limit);
      CHECK(static_cast<std::int64_t>(t->prompt.size()) + t->cut_tokens == 19);
    }
  }
  CHECK(text_of(tokenize(kTokenizer, spec(), row(body), total(18)).prompt) == "Do:\naé\nSo:");
  CHECK(text_of(tokenize(kTokenizer, back, row(body), total(18)).prompt) == "Do:\n😀z\nSo:");
}

TEST_CASE("a row that cannot fit is an error that names it", "[tokenize]") {
  CHECK_NOTHROW(tokenize(kTokenizer, spec(), row("0123"), total(13)));
  CHECK_THROWS_AS(tokenize(kTokenizer, spec(), row("0123"), total(12)), DataError);
  CHECK_THROWS_WITH(
      tokenize(kTokenizer, spec(), row("0123"), total(12)),
      "task 'toy', row 'r7': instruction (4 tokens), cue (4) and answer (3) leave no room: the prompt may have 7 "
      "tokens; raise the length limit, or set one for answers");
}

TEST_CASE("a tokenised split is the same from memory, fresh and from the cache", "[token_cache]") {
  const test::TemporaryDirectory cache("token-cache-test");
  const Task task = make_task(spec(), {row("0123456789"), {"r8", "Do:\nx\nSo:", "longer answer", {}, "", ""}}, {}, {});
  LengthLimits limits = total(20);
  limits.max_answer = 5;
  const auto check = [&](const TokenizedSplit& split) {
    REQUIRE(split.size() == 2);
    CHECK(text_of(split[0].prompt) == "Do:\n0123456\nSo:");
    CHECK(text_of(split[0].answer) == "yes");
    CHECK(split[0].cut_tokens == 3);
    CHECK(text_of(split[1].prompt) == "Do:\nx\nSo:");
    CHECK(text_of(split[1].answer) == "longe");
    CHECK(split[1].answer_cut_tokens == 8);
    const auto summary = split.summary();
    CHECK(summary.cut_rows == 1);
    CHECK(summary.cut_tokens == 3);
    CHECK(summary.answer_cut_rows == 1);
    CHECK(summary.answer_cut_tokens == 8);
    CHECK(summary.longest == 18);
    CHECK(summary.tokens == 18 + 14);
    CHECK_THROWS_AS(split[2], Error);
  };
  check(tokenize_split(kTokenizer, task, Split::kTrain, limits, {}));
  CHECK(fs::is_empty(cache.path()));
  check(tokenize_split(kTokenizer, task, Split::kTrain, limits, cache.path()));
  REQUIRE(files_below(cache.path()).size() == 1);
  const auto written = fs::last_write_time(files_below(cache.path())[0]);
  check(tokenize_split(kTokenizer, task, Split::kTrain, limits, cache.path()));
  CHECK(fs::last_write_time(files_below(cache.path())[0]) == written);
  CHECK(tokenize_split(kTokenizer, task, Split::kEval, limits, cache.path()).size() == 0);
}

TEST_CASE("the cache tells rows, limits and cutting apart", "[token_cache]") {
  const test::TemporaryDirectory cache("token-cache-test");
  std::size_t files = 0;
  const auto expect_new = [&](const Task& task, const LengthLimits& limits) {
    tokenize_split(kTokenizer, task, Split::kTrain, limits, cache.path());
    CHECK(files_below(cache.path()).size() == ++files);
  };
  const std::vector<Example> rows{row("0123456789")};
  expect_new(make_task(spec(), rows, {}, {}), total(20));
  expect_new(make_task(spec(), rows, {}, {}), total(21));
  expect_new(make_task(spec(), {row("0123456788")}, {}, {}), total(20));
  TaskSpec other = spec();
  other.cut_front = true;
  expect_new(make_task(other, rows, {}, {}), total(20));
  other = spec();
  other.cue = "So:";
  expect_new(make_task(other, rows, {}, {}), total(20));
  other = spec();
  other.keep_from = "3";
  expect_new(make_task(other, rows, {}, {}), total(20));
  LengthLimits separate = total(20);
  separate.separate_answer = true;
  expect_new(make_task(spec(), rows, {}, {}), separate);
}

TEST_CASE("torn, foreign and unwritable cache files cost time, never results", "[token_cache]") {
  const test::TemporaryDirectory cache("token-cache-test");
  const Task task = make_task(spec(), {row("0123456789")}, {}, {});
  const auto prompt = [&](const fs::path& where) {
    return text_of(tokenize_split(kTokenizer, task, Split::kTrain, total(20), where)[0].prompt);
  };
  const std::string expected = prompt({});
  CHECK(prompt(cache.path()) == expected);
  const fs::path file = files_below(cache.path()).at(0);
  const std::string whole = read_file(file);
  for (const std::size_t size : {whole.size() - 1, whole.size() / 2, std::size_t{10}, std::size_t{0}}) {
    write_file_atomically(file, whole.substr(0, size));
    CHECK(prompt(cache.path()) == expected);
    CHECK(read_file(file) == whole);
  }
  std::string flipped = whole;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  write_file_atomically(file, flipped);
  CHECK(prompt(cache.path()) == expected);
  CHECK(read_file(file) == whole);
  write_file_atomically(cache / "plain", "a file where a directory should be");
  CHECK(prompt(cache / "plain") == expected);
}

TEST_CASE("concurrent writers leave one whole file", "[token_cache]") {
  const test::TemporaryDirectory cache("token-cache-test");
  std::vector<Example> rows;
  for (int i = 0; i < 500; ++i) {
    rows.push_back(row(std::string(100, 'x')));
    rows.back().row_id = std::to_string(i);
  }
  const Task task = make_task(spec(), rows, {}, {});
  std::vector<std::thread> threads;
  std::vector<std::int64_t> tokens(8);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    threads.emplace_back(
        [&, i] { tokens[i] = tokenize_split(kTokenizer, task, Split::kTrain, {}, cache.path()).summary().tokens; });
  for (auto& thread : threads) thread.join();
  for (const std::int64_t count : tokens) CHECK(count == 500 * 111);
  CHECK(files_below(cache.path()).size() == 1);
}
