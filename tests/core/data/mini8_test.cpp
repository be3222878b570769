#include "core/data/mini8.h"

#include <fmt/format.h>

#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/metric/text_metric.h"
#include "tests/support/catch.h"

namespace mneme::data {
namespace {

Mini8Options options(std::uint64_t seed, std::int64_t train, std::int64_t eval = 16, std::int64_t test = 40) {
  Mini8Options result;
  result.seed = seed;
  result.train_rows = train;
  result.eval_rows = eval;
  result.test_rows = test;
  return result;
}

Mini8Options ordered(std::vector<std::string> order) {
  Mini8Options result;
  result.order = std::move(order);
  return result;
}

using Facts = std::map<std::string, std::string>;

std::smatch match(const std::string& text, const char* pattern) {
  static std::string kept;  // the match refers to it
  kept = text;
  std::smatch found;
  INFO(text << " against " << pattern);
  REQUIRE(std::regex_match(kept, found, std::regex(pattern)));
  return found;
}

/// The facts that the questions are about, listed once more and apart from the generator: an answer, and what it is the
/// answer to.
const std::vector<std::pair<std::string, std::vector<std::string>>> kAnswers = {
    {"A", {"loves", "praises", "admires", "enjoys", "adores", "backs"}},
    {"B", {"hates", "mocks", "shuns", "resents", "detests", "scorns"}},
    {"C", {"mentions", "describes", "notes", "lists", "counts", "records"}},
    {"A", {"cut rates", "eased credit", "bought bonds", "feared slack", "urged stimulus", "saw weak jobs"}},
    {"B", {"raised rates", "tightened credit", "sold bonds", "feared inflation", "urged restraint", "saw hot demand"}},
    {"C", {"held rates", "awaited data", "made no change", "kept guidance", "saw balanced risks", "reviewed models"}},
    {"passed", {"All in favor.", "Motion carries.", "Ayes have it."}},
    {"rejected", {"All opposed.", "Motion fails.", "Nays have it."}},
    {"metal", {"iron", "zinc", "tin", "copper", "lead"}},
    {"bird", {"crow", "heron", "owl", "finch", "gull"}},
    {"planet", {"Mars", "Venus", "Saturn", "Earth", "Neptune"}},
    {"fish", {"cod", "trout", "pike", "salmon", "carp"}},
    {"lung", {"asthma", "pneumonia", "bronchitis", "emphysema", "pleurisy"}},
    {"skin", {"eczema", "acne", "psoriasis", "rosacea", "impetigo"}},
    {"liver", {"hepatitis", "jaundice", "cirrhosis", "steatosis", "ascites"}},
    {"heart", {"angina", "arrhythmia", "infarction", "carditis", "ischemia"}},
    {"theft", {"stole", "took", "snatched"}},
    {"arson", {"burned", "torched", "lit"}},
    {"fraud", {"forged", "faked", "falsified"}},
    {"assault", {"hit", "punched", "kicked"}},
    {"+", {"buys", "finds", "gets", "wins"}},
    {"-", {"sells", "loses", "drops", "eats"}}};

/// Words and their simple ones.
const Facts kSimpler = {
    {"purchase", "buy"},      {"require", "need"},     {"construct", "build"}, {"observe", "see"},
    {"cherish", "love"},      {"acquire", "get"},      {"utilize", "use"},     {"retain", "keep"},
    {"residences", "homes"},  {"beverages", "drinks"}, {"vehicles", "cars"},   {"garments", "clothes"},
    {"timepieces", "clocks"}, {"vessels", "boats"},    {"canines", "dogs"},    {"tomes", "books"}};

const Facts& facts() {
  static const Facts table = [] {
    Facts all = kSimpler;
    for (const auto& [answer, questions] : kAnswers)
      for (const std::string& question : questions) all.emplace(question, answer);
    return all;
  }();
  return table;
}

/// Answers a prompt from the facts alone.
std::string solve(const std::string& task, const std::string& prompt) {
  const Facts& f = facts();
  if (task == "opinion") {
    const auto m = match(prompt, "Text: \\w+ (\\w+) (\\w+)\\.\nTarget: (\\w+)\nAttitude:");
    REQUIRE(m[2] == m[3]);
    return f.at(m[1]);
  }
  if (task == "rates") {
    const auto m = match(prompt,
                         "What is the policy stance\\?\nIn \\w+ (?:the board|members|the chair|staff|officials|the "
                         "bank) ([\\w ]+)\\.\nStance:");
    return f.at(m[1]);
  }
  if (task == "minutes") {
    const auto m = match(prompt, "Minutes: [\\w ]+\\. \\w+ moves to (\\w+) the (\\w+)\\. ([\\w ]+\\.)\nSummary:");
    return " " + m[2].str() + " " + m[1].str() + " " + f.at(m[3]);
  }
  if (task == "science" || task == "medicine" || task == "law") {
    const char* const pattern =
        task == "science" ? "\\w+ \\w+ what (\\w+) is\\.\nA\\. (\\w+) B\\. (\\w+) C\\. (\\w+) D\\. (\\w+)\nAnswer:"
        : task == "medicine"
            ? "\\w+ \\w+ (\\w+)\\. Which organ\\?\nA\\. (\\w+) B\\. (\\w+) C\\. (\\w+) D\\. (\\w+)\nDiagnosis:"
            : "\\w+ (\\w+) an? \\w+(?: today| twice)?\\. Charge\\?\nA\\. (\\w+) B\\. (\\w+) C\\. (\\w+) D\\. "
              "(\\w+)\nVerdict:";
    const auto m = match(prompt, pattern);
    std::string letters;
    for (std::size_t i = 0; i < 4; ++i)
      if (m[2 + i] == f.at(m[1])) letters += static_cast<char>('A' + i);
    return letters;
  }
  if (task == "arithmetic") {
    const auto m = match(prompt, "\\w+ has (\\d+) \\w+ and (\\w+) (\\d+)\\. How many now\\?\nResult:");
    const int change = std::stoi(m[3]);
    return std::to_string(std::stoi(m[1]) + (f.at(m[2]) == "+" ? change : -change));
  }
  const auto m = match(prompt, "Paragraph: (\\w+), [\\w ]+, (\\w+) (\\w+) (\\w+)\\.\nSimplification:");
  return " " + m[1].str() + " " + m[2].str() + " " + f.at(m[3]) + " " + f.at(m[4]) + ".";
}

TEST_CASE("mini8 has the eight domains in the benchmarks' order", "[mini8]") {
  CHECK(mini8_names() == std::vector<std::string>{"opinion", "rates", "minutes", "science", "arithmetic", "simplify",
                                                  "medicine", "law"});
  const std::vector<std::string> metrics = {"accuracy.first_letter", "accuracy.first_letter", "rougeL",
                                            "accuracy.first_letter", "exact_match.number",    "sari",
                                            "accuracy.first_letter", "accuracy.first_letter"};
  for (std::size_t i = 0; i < metrics.size(); ++i) CHECK(mini8_spec(mini8_names()[i]).metric == metrics[i]);
  CHECK(mini8_spec("rates").labels == std::vector<std::string>{"A", "B", "C"});
  CHECK(mini8_spec("law").labels == std::vector<std::string>{"A", "B", "C", "D"});
  CHECK(mini8_spec("minutes").labels.empty());
}

TEST_CASE("every answer of mini8 follows from its prompt", "[mini8]") {
  for (const std::string& task : mini8_names()) {
    for (const Split split : kSplits) {
      for (const Example& row : mini8_rows(task, split, options(5, 256))) {
        CHECK(solve(task, row.prompt) == row.answer);
        CHECK(row.references == std::vector<std::string>{row.answer});
      }
    }
  }
}

TEST_CASE("splits of mini8 share no prompt and repeat none", "[mini8]") {
  const Mini8Options rows_of = options(3, 500, 60, 100);
  for (const std::string& task : mini8_names()) {
    std::set<std::string> prompts;
    std::size_t rows = 0;
    for (const Split split : kSplits)
      for (const Example& row : mini8_rows(task, split, rows_of)) prompts.insert(row.prompt), ++rows;
    INFO(task);
    CHECK(rows == 660);
    CHECK(prompts.size() == rows);
  }
}

TEST_CASE("prompts and answers of mini8 are short", "[mini8]") {
  for (const std::string& task : mini8_names()) {
    for (const Example& row : mini8_rows(task, Split::kTrain, options(8, 400))) {
      CHECK(row.prompt.size() <= 88);
      CHECK(row.answer.size() <= 26);
      CHECK(static_cast<std::int64_t>(row.answer.size()) < mini8_spec(task).max_new_tokens);
    }
  }
}

TEST_CASE("the kinds of answer of mini8 are balanced in every split", "[mini8]") {
  const Mini8Options rows_of = options(1, 240, 24, 48);
  for (const std::string& task : mini8_names()) {
    for (const Split split : kSplits) {
      const std::vector<Example> rows = mini8_rows(task, split, rows_of);
      std::map<std::string, std::size_t> count;
      for (const Example& row : rows) {
        if (task == "minutes") ++count[row.answer.substr(row.answer.rfind(' '))];
        if (task == "arithmetic")
          ++count[std::regex_search(row.prompt, std::regex("buys|finds|gets|wins")) ? "+" : "-"];
        if (!mini8_spec(task).labels.empty()) ++count[row.answer];
      }
      INFO(task);
      for (const auto& [kind, rows_of_kind] : count) CHECK(rows_of_kind == rows.size() / count.size());
    }
  }
}

TEST_CASE("the rows of mini8 are pinned", "[mini8]") {
  const std::map<std::string, std::string> pinned = {
      {"opinion", "c7eb5fbb7f92397cb56e09caeb281095adb733321dff88d4b0ef007074218868"},
      {"rates", "ff8a6300997ddd3b7adbbf145f7c6db11f0a51c24d185abec5b8a266cf67037c"},
      {"minutes", "6a5a518be3a5dcf453279c927822f988428afd4d6805ea47afe1d2d8bd5e3510"},
      {"science", "880238c56d6e24f5e2e23296589911f5023245d6e26992b6d88acc1f1710d4f0"},
      {"arithmetic", "a00ce7657246e3d5f7ebf9782f9e61911a607f897c41b81bceca54a554f0f23d"},
      {"simplify", "d8d374190e9a7658bb76111aebfe3c584478b2730089c95fd50cbad6120eed25"},
      {"medicine", "30798f13a5710f5a4a818ef3b9d73ae6a7afd3fa1c5d77e39e7823db09306092"},
      {"law", "443f298f14a6cb2179f45662a3cc7da57adb56107e8364739bb9ee02ae66e33a"}};
  for (const auto& [task, sha256] : pinned) {
    INFO(task);
    CHECK(rows_sha256(mini8_rows(task, Split::kTrain, {})) == sha256);
  }
  CHECK(pinned.size() == mini8_names().size());
}

TEST_CASE("more rows of mini8 begin with the fewer", "[mini8]") {
  const auto few = mini8_rows("law", Split::kTrain, options(2, 50));
  const auto many = mini8_rows("law", Split::kTrain, options(2, 80, 16, 7));
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  CHECK(mini8_rows("law", Split::kTrain, options(4, 50)) != few);
}

TEST_CASE("a perfect prediction on mini8 scores 1, the source and the wrong letter less", "[mini8]") {
  for (const std::string& task : mini8_names()) {
    std::vector<metric::Sample> right, wrong;
    for (const Example& row : mini8_rows(task, Split::kTest, Mini8Options())) {
      right.push_back({row.answer, row.references, row.source, {}});
      wrong.push_back({task == "simplify"  ? row.source
                       : row.answer == "A" ? "B"
                                           : "A",
                       row.references,
                       row.source,
                       {}});
    }
    const auto& metric = metric::text_metric(mini8_spec(task).metric);
    INFO(task);
    CHECK(metric.score(right).value == Approx(1.0));
    CHECK(metric.score(wrong).value < 0.75);
  }
}

TEST_CASE("mini8 as a stream takes an order and passes the checks of its specs", "[mini8]") {
  const Stream stream = mini8_stream(ordered({"law", "opinion"}));
  REQUIRE(stream.tasks.size() == 2);
  CHECK(stream.tasks[0].name() == "law");
  CHECK(stream.tasks[1].split(Split::kTest).size() == 40);
  for (const Task& task : mini8_stream({}).tasks) {
    for (const Split split : kSplits) {
      std::vector<Example> rows(task.split(split).begin(), task.split(split).end());
      CHECK_NOTHROW(check_examples(task.spec(), split, task.name(), rows));
      CHECK(task.sha256(split) == rows_sha256(task.split(split)));
    }
  }
}

TEST_CASE("wrong options of mini8 are named", "[mini8]") {
  CHECK_THROWS_WITH(mini8_spec("laws"), "mini8 has no task 'laws'; did you mean 'law'?");
  CHECK_THROWS_WITH(mini8_stream(ordered({"law", "law"})), "mini8: the order names task 'law' twice");
  CHECK_THROWS_AS(mini8_rows("rates", Split::kTest, options(0, 256, 16, 100000)), DataError);
}

}  // namespace
}  // namespace mneme::data
