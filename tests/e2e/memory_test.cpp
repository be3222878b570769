// The peak memory that is foretold, held against what runs of strategies with much to hold then take.
#include <fmt/ranges.h>

#include <filesystem>

#include "core/model/transformer.h"
#include "core/record/reader.h"
#include "tests/e2e/study.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;

namespace {
const char* const kTwoTasks = R"(defaults: [base, override /adapter: lora_all, _self_]
name: memory
model: {path: model}
stream: {order: [minutes, science], train_rows: 24, eval_rows: 2, test_rows: 2}
train: {batch_size: 8, max_steps: 2, max_length: 256, recompute: never}
eval: {rows: last}
save: {checkpoint: false, adapters: none}
launcher: {jobs: 1, threads: 1, pin: false}
)";

/// A random model of 15 million parameters that reads bytes: vectors of all of them are 60 MB each.
void write_model(const Study& study) {
  model::TransformerConfig c;
  c.vocab_size = 1000;
  c.hidden_size = 384;
  c.intermediate_size = 1024;
  c.num_hidden_layers = 8;
  c.num_attention_heads = c.num_key_value_heads = 6;
  c.head_dim = 64;
  RandomStream rng(1, "model");
  model::Transformer::random(c, c10::ScalarType::Float, rng)->save(study / "model", c10::ScalarType::Float);
  std::filesystem::copy_file(std::filesystem::path(MNEME_SOURCE_DIR) / "models/nano/tokenizer_config.json",
                             study / "model/tokenizer_config.json");
}
}  // namespace

TEST_CASE("runs take the memory that plan foretells, whatever their strategy holds", "[memory]") {
#ifdef __SANITIZE_ADDRESS__
  WARN("skipped: sanitizers take memory of their own");
  return;
#endif
  const Study study(kTwoTasks);
  write_model(study);
  const std::vector<std::vector<std::string>> cases = {
      {"strategy=seq"},
      {"strategy=seq", "train.recompute=always"},
      {"strategy=asr"},
      {"strategy=asr", "strategy.features=random_relu", "strategy.width=5000"},
      {"strategy=seta", "strategy.backend=elements", "strategy.calibration_batches=1", "strategy.fisher_samples=2"},
      {"strategy=seq", "adapter=full"},
      {"strategy=ewc", "adapter=full", "strategy.fisher_samples=2"},
      {"strategy=tasl", "adapter=full"},
      {"strategy=seq", "adapter=full", "model.dtype=bf16"}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    // Caches of its own: a plan corrects itself by what it has seen.
    study.write("cache/calibration.json", "{}");
    std::vector<std::string> plan = {"plan", "exp.yaml", "--format", "json"};
    std::vector<std::string> run = {"run", "exp.yaml", "--out", fmt::format("out{}", i)};
    plan.insert(plan.end(), cases[i].begin(), cases[i].end());
    run.insert(run.end(), cases[i].begin(), cases[i].end());
    const launch::Captured planned = study.mneme(plan), done = study.mneme(run);
    CAPTURE(cases[i], planned.error, done.error);
    REQUIRE(planned.ok());
    REQUIRE(done.ok());
    const auto foretold = nlohmann::json::parse(planned.output)["memory_bytes"].get<double>();
    const auto entry = study.report(run[3]).runs.front().entry;
    double taken = 0;
    for (const CostEvent& cost : record::Record(study / run[3] / entry.id / "run.h5").costs())
      taken = std::max(taken, static_cast<double>(cost.peak_bytes));
    WARN(fmt::format("{:<80} foretold {:.0f} MB, taken {:.0f} MB, ratio {:.3f}", fmt::join(cases[i], " "),
                     foretold / 1e6, taken / 1e6, foretold / taken));
    CHECK(foretold / taken > 0.85);
    CHECK(foretold / taken < 1.15);
  }
}
