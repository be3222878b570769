#include "tests/speed/own_side.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <fstream>

#include "core/adapter/peft.h"
#include "core/base/error.h"
#include "core/model/generate.h"
#include "core/strategy/sample.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

namespace {
using namespace mneme;
using nlohmann::json;

/// A small model and an adapter that changes it, saved as the comparison's are.
class Files {
 public:
  Files() {
    model::TransformerConfig config;
    config.vocab_size = 40;
    config.hidden_size = 16;
    config.intermediate_size = 24;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 2;
    config.num_key_value_heads = 2;
    config.head_dim = 8;
    RandomStream weights(1, "weights"), values(2, "adapter");
    model = model::Transformer::random(config, c10::ScalarType::Float, weights);
    model->save(directory / "model", c10::ScalarType::Float);
    LoraOptions lora;
    lora.rank = 2;
    lora.alpha = 4;
    lora.targets = {"q_proj", "v_proj"};
    bank = std::make_unique<AdapterBank>(model);
    adapter = bank->create_lora("default", lora, values);
    for (float& value :
         std::span(bank->values(adapter).data_ptr<float>(), static_cast<std::size_t>(bank->values(adapter).numel())))
      value = static_cast<float>(values.normal() * 0.2);
    write_peft(directory / "adapter", *bank, adapter, *model, "model");
  }

  json job(const std::string& work) const {
    return {{"work", work},
            {"model", (directory / "model").string()},
            {"adapter", (directory / "adapter").string()},
            {"dtype", "float32"},
            {"slots", 2},
            {"warm", {{3, 4}}}};
  }

  test::TemporaryDirectory directory{"speed"};
  std::shared_ptr<model::Transformer> model;
  std::unique_ptr<AdapterBank> bank;
  AdapterId adapter = 0;
};

model::GenerateOptions reference() {
  model::GenerateOptions options;
  options.backend = model::BlockBackend::kReference;
  return options;
}

}  // namespace

TEST_CASE("our side of the speed comparison trains: a loss and a time per step, and the loss falls") {
  const Files files;
  json job = files.job("train");
  const json batch = {{{"tokens", {5, 6, 7, 8, 9}}, {"first_label", 3}},
                      {{"tokens", {10, 11, 12}}, {"first_label", 2}}};
  job.update({{"batches", std::vector<json>(8, batch)}, {"learning_rate", 5e-2}, {"weight_decay", 0.0}, {"clip", 1.0}});
  const json result = speed::run_job(job);
  const auto losses = result.at("losses").get<std::vector<double>>();
  REQUIRE(losses.size() == 8);
  REQUIRE(result.at("seconds").size() == 8);
  const std::vector<Tokens> texts{{5, 6, 7, 8, 9}, {10, 11, 12}};
  const std::vector<model::Sequence> sequences{{texts[0], 3}, {texts[1], 2}};
  const model::PackedBatch packed = model::pack(sequences);
  const auto adapters = files.bank->resolve(with_adapters({files.adapter}));
  const c10::NoGradGuard no_grad;
  const double first = files.model
                           ->forward({.batch = &packed,
                                      .adapters = &adapters,
                                      .want_losses = true,
                                      .backend = model::BlockBackend::kReference})
                           .losses.mean()
                           .item<double>();
  CHECK(losses.front() == Approx(first).epsilon(1e-5));
  CHECK(losses.back() < 0.97 * losses.front());
  CHECK(result.at("peak_mb").get<double>() > 10);
}

TEST_CASE("our side of the speed comparison generates and scores under the job's adapter") {
  const Files files;
  const std::vector<Tokens> prompts{{5, 6, 7}, {8, 9}, {10}};
  const auto adapters = files.bank->resolve(with_adapters({files.adapter}));
  SECTION("generate") {
    json job = files.job("generate");
    job.update({{"prompts", prompts}, {"new_tokens", {3, 1, 5}}});
    std::vector<model::GenerateJob> jobs;
    for (std::size_t i = 0; i < prompts.size(); ++i)
      jobs.push_back({.prompt = prompts[i], .max_new_tokens = job["new_tokens"][i].get<std::int64_t>()});
    CHECK(speed::run_job(job).at("answers") == json(model::generate(*files.model, adapters, jobs, reference())));
  }
  SECTION("score") {
    const std::vector<Tokens> labels{{5}, {6, 7}};
    json job = files.job("score");
    job.update({{"prompts", prompts}, {"candidates", labels}});
    const auto scores = speed::run_job(job).at("scores").get<std::vector<std::vector<double>>>();
    const std::vector<std::vector<Tokens>> candidates(prompts.size(), labels);
    const auto expected = model::score_continuations(*files.model, adapters, prompts, candidates, reference());
    REQUIRE(scores.size() == expected.size());
    for (std::size_t i = 0; i < scores.size(); ++i)
      for (std::size_t c = 0; c < labels.size(); ++c) CHECK(scores[i][c] == Approx(expected[i][c]).epsilon(1e-5));
  }
}

TEST_CASE("our side of the speed comparison loads a model") {
  const Files files;
  json job = files.job("load");
  job["prompt"] = {5, 6, 7};
  const json result = speed::run_job(job);
  CHECK(result.at("logits").size() == 40);
  CHECK(result.at("seconds").size() == 1);
}

TEST_CASE("our side of the speed comparison tokenizes a file line by line") {
  const test::TemporaryDirectory directory;
  std::ofstream(directory / "text.txt") << "one line\nand another\n";
  const json result = speed::run_job(
      {{"work", "tokenize"}, {"model", MNEME_SOURCE_DIR "/models/nano"}, {"text", (directory / "text.txt").string()}});
  REQUIRE(result.at("ids").size() == 2);
  CHECK_FALSE(result.at("ids")[1].empty());
}

TEST_CASE("our side of the speed comparison knows only its own work") {
  CHECK_THROWS_WITH(speed::run_job({{"work", "fly"}}), Catch::Contains("no work 'fly'"));
}
