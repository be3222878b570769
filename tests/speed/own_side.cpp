#include "tests/speed/own_side.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "core/adapter/peft.h"
#include "core/base/error.h"
#include "core/model/generate.h"
#include "core/run/options.h"
#include "core/strategy/strategy.h"
#include "core/text/tokenizer.h"
#include "core/train/trainer.h"

namespace mneme::speed {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// MB that the process held at most. The kernel's own high-water mark; getrusage() would count the parent's as well.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

c10::ScalarType type_of(const json& job) {
  return job.at("dtype") == "bfloat16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
}

std::unique_ptr<model::Transformer> load_model(const json& job) {
  return model::Transformer::load(job.at("model").get<std::string>(), type_of(job), c10::kCPU,
                                  run::matmul_precision(job.value("matmul_precision", "highest")));
}

/// Keeps the losses of the steps.
class LossSink final : public RunSink {
 public:
  void step(const StepEvent& event) override { losses.push_back(event.loss); }
  std::vector<double> losses;
};

/// A learner whose one adapter is the job's, as a run with `adapter.peft` has it.
struct Session {
  explicit Session(const json& job) : learner(load_model(job), options(job), sink) { strategy.attach(learner); }

  static LearnerOptions options(const json& job) {
    LearnerOptions made;
    made.adapter.peft = job.at("adapter").get<std::string>();
    made.decode_slots = job.value("slots", made.decode_slots);
    return made;
  }

  LossSink sink;
  Strategy strategy;  // its defaults are sequential fine-tuning
  Learner learner;
};

Dataset samples_of(const json& sequences) {
  Dataset made;
  for (const json& sequence : sequences)
    made.push_back(std::make_shared<const Sample>(
        Sample{sequence.at("tokens").get<Tokens>(), sequence.at("first_label").get<std::int64_t>(), 1}));
  return made;
}

/// Every step is a stage of its own, whose samples are the step's: the order of the steps is the job's.
json train(const json& job) {
  Session session(job);
  TrainOptions options;
  options.learning_rate = job.at("learning_rate");
  options.weight_decay = job.at("weight_decay");
  options.clip = job.at("clip");
  options.optimizer_reset = "never";
  std::vector<TaskView> steps;
  for (const json& batch : job.at("batches")) {
    TaskView step;
    step.stage = static_cast<std::int64_t>(steps.size()) + 1;
    step.tasks = {step.stage};
    step.train = samples_of(batch);
    options.batch_size = std::max(options.batch_size, static_cast<std::int64_t>(step.train.size()));
    steps.push_back(std::move(step));
  }
  Trainer trainer(session.learner, session.strategy, options, session.sink);
  std::vector<double> seconds;
  for (const TaskView& step : steps) {
    const auto start = Clock::now();
    trainer.train(step, [](const TrainProgress&) {});
    seconds.push_back(seconds_since(start));
  }
  return {{"seconds", seconds}, {"losses", session.sink.losses}};
}

PromptBatch prompts_of(const json& prompts, const std::vector<std::int64_t>& new_tokens) {
  PromptBatch made;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    made.prompts.push_back({.prompt = prompts[i].get<Tokens>(), .max_new_tokens = new_tokens[i]});
  return made;
}

json generate(const json& job) {
  Session session(job);
  const auto answer = [&](const json& prompts, const std::vector<std::int64_t>& new_tokens) {
    return session.strategy.predict(session.learner, prompts_of(prompts, new_tokens));
  };
  answer(job.at("warm"), std::vector<std::int64_t>(job.at("warm").size(), 4));
  const auto new_tokens = job.at("new_tokens").get<std::vector<std::int64_t>>();
  const auto start = Clock::now();
  const std::vector<Tokens> answers = answer(job.at("prompts"), new_tokens);
  return {{"seconds", {seconds_since(start)}}, {"answers", answers}};
}

json score(const json& job) {
  Session session(job);
  const auto labels = job.at("candidates").get<std::vector<Tokens>>();
  const auto scored = [&](const json& prompts) {
    const PromptBatch batch = prompts_of(prompts, std::vector<std::int64_t>(prompts.size(), 0));
    const std::vector<std::vector<Tokens>> candidates(prompts.size(), labels);
    return session.learner.score(session.strategy.route(session.learner, batch), batch, candidates);
  };
  scored(job.at("warm"));
  const auto start = Clock::now();
  const auto scores = scored(job.at("prompts"));
  return {{"seconds", {seconds_since(start)}}, {"scores", scores}};
}

json load(const json& job) {
  const c10::NoGradGuard no_grad;
  const std::vector<Tokens> prompt{job.at("prompt").get<Tokens>()};
  const auto start = Clock::now();
  const auto model = load_model(job);
  const model::PackedBatch batch = model::pack_prompts(prompt);
  const at::Tensor logits =
      model->forward({.batch = &batch, .rows = model::RowsNeeded::kLast, .want_logits = true}).logits;
  const double seconds = seconds_since(start);
  const float* values = logits.const_data_ptr<float>();
  return {{"seconds", {seconds}}, {"logits", std::vector<float>(values, values + logits.numel())}};
}

json tokenize(const json& job) {
  const auto tokenizer = text::load_tokenizer(job.at("model").get<std::string>());
  std::vector<std::string> lines;
  std::ifstream file(job.at("text").get<std::string>());
  MNEME_CHECK(file.good(), "cannot read the text '{}'", job.at("text").get<std::string>());
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::vector<text::TokenIds> ids;
  const auto start = Clock::now();
  for (const std::string& line : lines) ids.push_back(tokenizer->encode(line));
  return {{"seconds", {seconds_since(start)}}, {"ids", ids}};
}

}  // namespace

json run_job(const json& job) {
  const std::string work = job.at("work");
  json result = work == "train"      ? train(job)
                : work == "generate" ? generate(job)
                : work == "score"    ? score(job)
                : work == "load"     ? load(job)
                : work == "tokenize" ? tokenize(job)
                                     : throw Error(fmt::format("there is no work '{}'", work));
  result["peak_mb"] = peak_megabytes();
  return result;
}

}  // namespace mneme::speed
