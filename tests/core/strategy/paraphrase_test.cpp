// Whether the router knows a task by more than its template: prompts of mini8 whose instructions are put otherwise.
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/data/mini8.h"
#include "core/strategy/analytic_router.h"
#include "core/strategy/prompt_features.h"
#include "core/text/tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
using Replacements = std::vector<std::pair<std::string, std::string>>;

/// What each domain's prompts say besides the text that they are about, in other words.
const std::map<std::string, Replacements> kParaphrases = {
    {"opinion", {{"Text: ", "Somebody: "}, {"Target: ", "About: "}, {"Attitude:", "Feeling:"}}},
    {"rates", {{"What is the policy stance?", "How does monetary policy lean?"}, {"Stance:", "Leaning:"}}},
    {"minutes", {{"Minutes: ", "Record: "}, {"Summary:", "In short:"}}},
    {"science", {{" is.\n", " may be.\n"}, {"Answer:", "Choice:"}}},
    {"arithmetic", {{"How many now?", "What is left?"}, {"Result:", "Count:"}}},
    {"simplify", {{"Paragraph: ", "Passage: "}, {"Simplification:", "In plain words:"}}},
    {"medicine", {{"Which organ?", "What part is ill?"}, {"Diagnosis:", "Finding:"}}},
    {"law", {{"Charge?", "Which crime?"}, {"Verdict:", "Ruling:"}}}};

/// The prompt up to its last line, which is the cue, and the prompt with its instruction in other words.
std::string stripped(const std::string& prompt) { return prompt.substr(0, prompt.rfind('\n')); }
std::string paraphrased(const std::string& task, std::string prompt) {
  for (const auto& [from, to] : kParaphrases.at(task)) {
    const std::size_t at = prompt.find(from);
    REQUIRE(at != std::string::npos);
    prompt.replace(at, from.size(), to);
  }
  return prompt;
}

/// The built-in model, as a router sees prompts through it.
class Reader {
 public:
  Reader()
      : directory_(std::filesystem::path(MNEME_SOURCE_DIR) / "models/nano"),
        tokenizer_(text::load_tokenizer(directory_)),
        learner_(model::Transformer::load(directory_, c10::ScalarType::Float), {1, {}, 16, 16, {}}, sink_) {}

  Learner& learner() { return learner_; }
  at::Tensor features(const std::vector<std::string>& prompts, std::int64_t layer) {
    PromptBatch batch;
    for (const std::string& prompt : prompts) {
      model::GenerateJob job;
      job.prompt = tokenizer_->with_special(tokenizer_->encode(prompt));
      batch.prompts.push_back(std::move(job));
    }
    return prompt_features(learner_, batch, layer);
  }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  VectorSink sink_;
  Learner learner_;
};

std::vector<std::string> prompts_of_task(const std::string& name, data::Split split) {
  const data::Mini8Options rows{.seed = 17, .train_rows = 64, .eval_rows = 0, .test_rows = 24, .order = {}};
  std::vector<std::string> prompts;
  for (const auto& example : data::mini8_rows(name, split, rows)) prompts.push_back(example.prompt);
  return prompts;
}

/// Parts of all held-out prompts that are sent to their task.
struct Routed {
  double plain = 0, stripped = 0, paraphrased = 0;
};

Routed routed(Reader& reader, std::int64_t layer) {
  AnalyticRouter router({}, RandomStream(1, "unused"));
  const auto& names = data::mini8_names();
  for (std::size_t task = 0; task < names.size(); ++task)
    router.learn(static_cast<std::int64_t>(task),
                 reader.features(prompts_of_task(names[task], data::Split::kTrain), layer));
  Routed part;
  for (std::size_t task = 0; task < names.size(); ++task) {
    const auto plain = prompts_of_task(names[task], data::Split::kTest);
    std::vector<std::string> cut, other;
    for (const std::string& prompt : plain) {
      cut.push_back(stripped(prompt));
      other.push_back(paraphrased(names[task], prompt));
    }
    const auto right = [&](const std::vector<std::string>& asked) {
      const auto chosen = router.route(reader.features(asked, layer));
      const auto hits = std::count(chosen.begin(), chosen.end(), static_cast<std::int64_t>(task));
      return static_cast<double>(hits) / static_cast<double>(asked.size() * names.size());
    };
    part.plain += right(plain);
    part.stripped += right(cut);
    part.paraphrased += right(other);
  }
  return part;
}
}  // namespace

TEST_CASE("the router of mini8 finds the task of held-out prompts, without their cue and paraphrased", "[router]") {
  Reader reader;
  const Routed part = routed(reader, default_shared_layers(reader.learner().model().config()));
  CHECK(part.plain >= 0.98);
  CHECK(part.stripped >= 0.98);
  // 0.83 when this was written: the two stances lose most, of whose prompts the instruction is half.
  CHECK(part.paraphrased >= 0.7);
  // A bag of words does as well on the prompts as they are: that routing is right there says little.
  CHECK(routed(reader, 0).plain >= 0.98);
}
