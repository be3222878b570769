#include "core/data/pretrain_text.h"

#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/data/mini8.h"
#include "core/data/mini8_domains.h"
#include "tests/support/catch.h"

namespace mneme::data {
namespace {

std::vector<PretrainDocument> documents(std::uint64_t seed, int n) {
  PretrainText text(seed);
  std::vector<PretrainDocument> list;
  for (int i = 0; i < n; ++i) list.push_back(text.next());
  return list;
}

TEST_CASE("the pretraining text of a seed is pinned", "[pretrain_text]") {
  const auto digest = [](std::uint64_t seed) {
    Sha256 hash;
    for (const PretrainDocument& each : documents(seed, 2000)) hash.update(each.prompt + '\x01' + each.answer + '\x02');
    return hash.hex();
  };
  CHECK(digest(1) == "ed2de9607facc8306a2342cccd87b57ae0c12a3718274c886cbb62e7965493ef");
  CHECK(digest(2) != digest(1));
}

TEST_CASE("documents of the pretraining text are short ASCII with an answer", "[pretrain_text]") {
  for (const PretrainDocument& each : documents(1, 4000)) {
    const std::string text = each.prompt + each.answer;
    INFO(text);
    CHECK(!each.answer.empty());
    CHECK(text.size() <= 200);
    CHECK(text.find_first_not_of("\nabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;?=+-()>") ==
          std::string::npos);
  }
}

TEST_CASE("sums of the pretraining text are right", "[pretrain_text]") {
  const std::regex form("(\\d+)([+-])(\\d+)=");
  int seen = 0;
  for (const PretrainDocument& each : documents(1, 4000)) {
    std::smatch m;
    if (!std::regex_match(each.prompt, m, form)) continue;
    const int a = std::stoi(m[1]), b = std::stoi(m[3]);
    CHECK(each.answer == std::to_string(m[2] == "+" ? a + b : a - b));
    ++seen;
  }
  CHECK(seen > 20);
}

TEST_CASE("a letter that the pretraining text answers stands in its prompt", "[pretrain_text]") {
  int seen = 0;
  std::map<std::string, int> letters;
  for (const PretrainDocument& each : documents(1, 4000)) {
    static const std::regex lettered("[A-D](\\. \\w+)?");
    if (!std::regex_match(each.answer, lettered)) continue;
    INFO(each.prompt << each.answer);
    const std::string letter = each.answer.substr(0, 1);
    CHECK(std::regex_search(each.prompt, std::regex("(^|\\W)" + letter + "(\\W|$)")));
    // Where the option is named, its letter is the one in front of it.
    if (each.answer.size() > 1)
      CHECK(std::regex_search(each.prompt, std::regex("(^|\\W)" + letter + "\\W+" + each.answer.substr(3) + "\\b")));
    ++letters[letter];
    ++seen;
  }
  CHECK(seen > 1000);
  CHECK(letters.size() == 4);
}

TEST_CASE("one fact of the pretraining text has one value", "[pretrain_text]") {
  const std::regex form("(\\w+ of \\w+) is");
  std::map<std::string, std::set<std::string>> values;
  for (const PretrainDocument& each : documents(1, 6000)) {
    std::smatch m;
    if (std::regex_match(each.prompt, m, form)) values[m[1]].insert(each.answer);
  }
  CHECK(values.size() > 20);
  for (const auto& [fact, answers] : values) {
    INFO(fact);
    CHECK(answers.size() == 1);
  }
}

TEST_CASE("the pretraining text tells what a word means, not what to answer for it", "[pretrain_text]") {
  std::map<std::string, std::string> meanings;
  for (const Mini8Word& each : mini8_lexicon()) {
    CHECK(each.meaning.size() > 2);  // no label, no number
    CHECK(meanings.emplace(each.word, each.meaning).second);
  }
  CHECK(meanings.at("zinc") == "metal");
  CHECK(meanings.at("raised rates") == "tightening");
  int seen = 0;
  for (const PretrainDocument& each : documents(1, 4000)) {
    const std::size_t end = each.prompt.rfind(" is");
    if (end == std::string::npos || end + 3 != each.prompt.size()) continue;
    const auto found = meanings.find(each.prompt.substr(0, end));
    if (found == meanings.end()) continue;
    CHECK(each.answer == " " + found->second);
    ++seen;
  }
  CHECK(seen > 50);
}

TEST_CASE("the pretraining text holds no prompt and no cue of mini8", "[pretrain_text]") {
  std::set<std::string> bodies, cues;
  for (const std::string& task : mini8_names()) {
    cues.insert(mini8_spec(task).cue);
    for (const Split split : kSplits)
      for (const Example& row : mini8_rows(task, split, {})) bodies.insert(row.prompt.substr(0, row.prompt.find('\n')));
  }
  for (const PretrainDocument& each : documents(1, 10000)) {
    const std::string text = each.prompt + each.answer;
    INFO(text);
    for (const std::string& cue : cues) CHECK(text.find(cue) == std::string::npos);
    CHECK(!bodies.contains(text.substr(0, text.find('\n'))));
  }
}

}  // namespace
}  // namespace mneme::data
