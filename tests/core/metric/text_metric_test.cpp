#include "core/metric/text_metric.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/metric/scoring.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::metric;

namespace {
double score(const std::string& id, const std::string& prediction, const std::string& reference) {
  const Sample sample{prediction, {reference}, "source", "group"};
  return text_metric(id).score(std::span(&sample, 1)).value;
}

nlohmann::json fixtures() {
  return nlohmann::json::parse(read_file(std::string(MNEME_SOURCE_DIR) + "/tests/parity/metrics/text_metrics.json"));
}

std::vector<Sample> fixture_samples(const nlohmann::json& fixture) {
  std::vector<Sample> samples;
  for (const auto& row : fixture["rows"])
    samples.push_back({row["prediction"], row["references"].get<std::vector<std::string>>(), row["source"], "g"});
  return samples;
}
}  // namespace

TEST_CASE("text metrics agree with rouge_score, nltk, sacrebleu, difflib and the definitions",
          "[text_metric][parity]") {
  const auto fixture = fixtures();
  const auto samples = fixture_samples(fixture);
  REQUIRE(samples.size() > 80);
  for (const auto& [id, expected] : fixture["scores"].items()) {
    const Score score = text_metric(id).score(samples);
    REQUIRE(score.per_example.size() == expected.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      INFO(id << ", row " << i << ": '" << samples[i].prediction << "'");
      CHECK(score.per_example[i] == Approx(expected[i].get<double>()).epsilon(1e-12).margin(1e-15));
    }
  }
}

TEST_CASE("Porter stems agree with NLTK", "[text_metric][parity]") {
  const auto fixture = fixtures();
  REQUIRE(fixture["stems"].size() > 1000);
  for (const auto& [word, stem] : fixture["stems"].items()) {
    INFO(word);
    CHECK(porter_stem(word) == stem.get<std::string>());
  }
}

TEST_CASE("every metric's value is the mean of its examples exactly where it says so", "[text_metric][property]") {
  auto samples = fixture_samples(fixtures());
  for (Sample& sample : samples) sample.references.resize(1);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].group = std::to_string(i / 2);
  for (const TextMetric& metric : text_metrics()) {
    INFO(metric.id);
    if (metric.id == "accuracy.first_letter") continue;  // these references name no options
    const Score score = metric.score(samples);
    for (const double value : score.per_example) {
      CHECK(value >= 0);
      CHECK(value <= 1);
    }
    if (metric.mean_over_examples) {
      CHECK(score.value == mean_of(score.per_example));
    } else {
      CHECK(score.value != mean_of(score.per_example));
    }
  }
}

TEST_CASE("perfect predictions score 1 in every metric", "[text_metric][property]") {
  const std::string text = "B 12 of the four options was chosen by many people here";
  const std::vector<Sample> samples(3, Sample{text, {text}, "A text to be rewritten by the model in some way", "turn"});
  for (const TextMetric& metric : text_metrics()) {
    INFO(metric.id);
    CHECK(metric.score(samples).value == Approx(1).epsilon(1e-7));
  }
}

TEST_CASE("the option letter is found where a reader would find it", "[text_metric]") {
  const auto right = [](const std::string& prediction, const std::string& letter) {
    INFO(prediction);
    CHECK(score("accuracy.first_letter", prediction, letter) == 1);
  };
  right("B", "B");
  right(" B.\n", "B");
  right("(C) because", "C");
  right("Answer: C", "C");              // not the A of Answer
  right("Because B is wrong, C", "B");  // not the B of Because
  right("选择C。", "C");
  right("答案是B，因为A不对", "B");
  right("D：中立", "D");
  right("A dovish stance", "A");  // the first word is the option
  right("It is A", "A");
  right("It is a matter of B", "B");
  right("Not A good one: C", "C");  // an article
  right("Choose A, then", "A");
  right("A\nWhen writing, avoid B", "A");
  right("**D**", "D");
  CHECK(score("accuracy.first_letter", "C3PO or ABBA", "C") == 0);
  CHECK(score("accuracy.first_letter", "D's", "D") == 0);
  CHECK(score("accuracy.first_letter", "", "A") == 0);
  CHECK(score("accuracy.first_letter", "b", "B") == 0);
  CHECK(score("accuracy.first_letter", "B\nexplanation", "B\nanother explanation") == 1);
  CHECK_THROWS_WITH(score("accuracy.first_letter", "A", "maybe"),
                    Catch::Contains("the reference 'maybe' names none of A"));
}

TEST_CASE("the parity variants keep their originals' ways", "[text_metric]") {
  CHECK(score("accuracy.first_letter.llmcl", "Answer: C", "C") == 0);
  CHECK(score("accuracy.first_letter.llmcl", "Answer: C", "A") == 1);
  CHECK(score("accuracy.first_letter.llmcl", "none", "none") == 0);
  CHECK(score("accuracy.first_char.llmcl", "B\nx", "B\ny") == 1);
  CHECK(score("accuracy.first_char.llmcl", " B", "B") == 0);
  CHECK(score("accuracy.first_char.trace", "", "B") == 0);
  CHECK(score("accuracy.first_char.trace", "中立", "中间") == 1);
  CHECK(score("accuracy.first_char.trace", "中立", "东") == 0);
  CHECK(score("accuracy.trace", "B ", "B") == 0);
  CHECK(score("accuracy", "B ", "B") == 1);
  CHECK(score("exact_match.number.llmcl", "-3.5 apples", "3.5") == 1);
  CHECK(score("exact_match.number.llmcl", "12. or 13", "12.") == 1);
  CHECK(score("exact_match.number.llmcl", "Julian", "Julian") == 0);
  CHECK(score("similarity.fuzz", "abcd", "abxd") == .75);
  CHECK(score("similarity.fuzz", "abc", "abd") == .67);
}

TEST_CASE("numbers are compared as numbers", "[text_metric]") {
  const auto id = "exact_match.number";
  CHECK(score(id, "The answer is 12.", "12") == 1);
  CHECK(score(id, "12.0", "12") == 1);
  CHECK(score(id, "1,234,567.5 km", "1234567.5") == 1);
  CHECK(score(id, "1,23", "123") == 0);
  CHECK(score(id, "-3", "3") == 0);
  CHECK(score(id, "x=-3", "-3") == 1);
  CHECK(score(id, "5-3", "5") == 1);
  CHECK(score(id, ".5", "0.5") == 1);
  CHECK(score(id, "1.43", "1.4300000000000002") == 1);
  CHECK(score(id, "1.44", "1.43") == 0);
  CHECK(score(id, "0", "0") == 1);
  CHECK(score(id, "none", "0") == 0);
  CHECK(score(id, " september.", "September") == 1);
  CHECK(score(id, "12", "September") == 0);
}

TEST_CASE("ROUGE-L on Chinese and German needs Unicode words", "[text_metric]") {
  CHECK(score("rougeL", "支持新政策", "支持新政策") == 0);
  CHECK(score("rougeL.unicode", "支持新政策", "支持新政策") == 1);
  CHECK(score("rougeL.unicode", "支持政策", "反对政策") == Approx(.5));  // 政策 of four characters each
  CHECK(score("rougeL.unicode", "Größe über alles", "größe über nichts") == Approx(2.0 / 3));
  CHECK(score("rougeL", "Größe", "Grüße") == 1);  // rouge_score sees "gr" and "e" in both
  CHECK(score("rougeL.unicode", "Größe", "Grüße") == 0);
}

TEST_CASE("joint goal accuracy counts turns", "[text_metric]") {
  const std::vector<Sample> samples{{"berlin ", {"Berlin"}, "", "d1|0"},
                                    {"two", {"three"}, "", "d1|2"},
                                    {"7 pm", {"7 pm"}, "", "d1|2"},
                                    {"x", {"y", "x"}, "", "d2|0"}};
  const Score score = text_metric("jga").score(samples);
  CHECK(score.value == Approx(2.0 / 3));
  CHECK(score.per_example == std::vector<double>{1, 0, 1, 1});
  CHECK(text_metric("jga").needs_group);
  const Sample no_group{"a", {"a"}, "", ""};
  CHECK_THROWS_WITH(text_metric("jga").score(std::span(&no_group, 1)), Catch::Contains("sample 0 has no group"));
}

TEST_CASE("LLMCL's ROUGE-L leaves empty predictions out of the mean", "[text_metric]") {
  const std::vector<Sample> samples{{"a b", {"a b"}, "", ""}, {"", {"a b"}, "", ""}};
  CHECK(text_metric("rougeL").score(samples).value == .5);
  CHECK(text_metric("rougeL.llmcl").score(samples).value == 1);
  CHECK_FALSE(text_metric("rougeL.llmcl").mean_over_examples);
}

TEST_CASE("text metrics refuse what they cannot score", "[text_metric]") {
  const Sample bare{"a", {}, "", ""}, no_source{"a", {"a"}, "", ""};
  CHECK_THROWS_WITH(text_metric("rougeL").score({}), Catch::Contains("no samples to score"));
  CHECK_THROWS_WITH(text_metric("accuracy").score(std::span(&bare, 1)), Catch::Contains("sample 0 has no references"));
  CHECK_THROWS_WITH(text_metric("sari").score(std::span(&no_source, 1)), Catch::Contains("sample 0 has no source"));
  CHECK_THROWS_AS(text_metric("rougeLL"), DataError);
  CHECK_THROWS_WITH(text_metric("rougeLL"), Catch::Contains("unknown text metric 'rougeLL'; did you mean 'rougeL'?"));
}

TEST_CASE("metric ids are unique, sorted and explained", "[text_metric]") {
  const auto& metrics = text_metrics();
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    INFO(metrics[i].id);
    if (i > 0) CHECK(metrics[i - 1].id < metrics[i].id);
    CHECK_FALSE(metrics[i].formula.empty());
    CHECK_FALSE(metrics[i].version.empty());
    CHECK(metrics[i].score != nullptr);
  }
}
