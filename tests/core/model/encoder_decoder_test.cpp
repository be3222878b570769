#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/model/generate.h"
#include "core/model/source_target.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::model;
using namespace mneme::model::test;

namespace {

/// Larger weights than the usual start, so that every part shows.
std::unique_ptr<Transformer> lively(const TransformerConfig& config, at::ScalarType dtype = at::kFloat) {
  RandomStream rng(5, "model");
  auto model = Transformer::random(config, dtype, rng);
  std::vector<std::pair<std::string, at::Tensor>> larger;
  for (const auto& [name, weight] : model->weights())
    larger.emplace_back(name, weight.dim() == 2 ? weight * 6 : weight * 1.1);
  model->bind_weights(larger);
  return model;
}

AdapterOptions t5_adapter() { return {.kinds = {"q", "v", "wo"}, .rank = 3, .scale = 1.5}; }

std::vector<std::int64_t> values(const at::Tensor& t) {
  return {t.const_data_ptr<std::int64_t>(), t.const_data_ptr<std::int64_t>() + t.numel()};
}

}  // namespace

TEST_CASE("a batch is split into what the encoder and the decoder read", "[encoder_decoder]") {
  const std::vector<std::int32_t> a = {7, 8, 9, 3, 4, 1}, b = {5, 6}, c = {2, 1};
  const PackedBatch batch = pack(std::vector<Sequence>{{a, 3}, {b, 2}, {c, 1}});
  const SourceTarget split = split_source_target(batch, 0);
  CHECK(values(split.source.ids) == std::vector<std::int64_t>{7, 8, 9, 5, 6, 2});
  CHECK(split.source.offsets == std::vector<std::int64_t>{0, 3, 5, 6});
  CHECK(values(split.target.ids) == std::vector<std::int64_t>{0, 3, 4, 0, 0});
  CHECK(split.target.offsets == std::vector<std::int64_t>{0, 3, 4, 5});
  CHECK(values(split.target.labels) == std::vector<std::int64_t>{3, 4, 1, 1});
  CHECK(values(split.target.label_rows) == std::vector<std::int64_t>{0, 1, 2, 4});
  PackedBatch gap = batch;
  gap.label_rows = at::tensor(std::vector<std::int64_t>{1, 2, 4, 7}, at::kLong);
  CHECK_THROWS_WITH(split_source_target(gap, 0), Catch::Contains("its labels are not its last tokens"));
}

TEST_CASE("sequences of an encoder-decoder do not see each other", "[encoder_decoder]") {
  const auto model = lively(small_t5_config());
  const auto tokens = random_tokens({9, 4, 17, 2}, 47, 3);
  const std::vector<std::int64_t> first = {5, 3, 9, 1};
  ActiveAdapters adapters = random_adapter(*model, t5_adapter());
  const PackedBatch all = pack_all(tokens, first);
  for (const auto backend : {BlockBackend::kFused, BlockBackend::kReference}) {
    const at::Tensor together =
        model->forward({.batch = &all, .adapters = &adapters, .want_losses = true, .backend = backend}).losses;
    std::vector<at::Tensor> alone;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const PackedBatch one = pack_all({tokens[i]}, {first[i]});
      alone.push_back(
          model->forward({.batch = &one, .adapters = &adapters, .want_losses = true, .backend = backend}).losses);
    }
    CHECK(relative_error(together, at::cat(alone)) < 1e-5);
  }
}

TEST_CASE("own kernels compute an encoder-decoder as plain ATen does", "[encoder_decoder]") {
  const auto model = lively(small_t5_config());
  ActiveAdapters adapters = random_adapter(*model, t5_adapter());
  const PackedBatch batch = pack_all(random_tokens({31, 4, 60}, 47, 3), {20, 3, 10});
  std::vector<std::vector<at::Tensor>> found;
  for (const auto backend : {BlockBackend::kFused, BlockBackend::kReference}) {
    const at::Tensor loss =
        model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true, .backend = backend}).losses.sum();
    found.push_back(gradients(loss, slices_of(adapters)));
    found.back().push_back(loss.detach());
  }
  for (std::size_t i = 0; i < found[0].size(); ++i) CHECK(relative_error(found[0][i], found[1][i]) < 1e-4);
}

TEST_CASE("the relative position biases get a gradient in full fine-tuning", "[encoder_decoder]") {
  const auto model = lively(small_t5_config(), at::kDouble);
  std::vector<std::pair<std::string, at::Tensor>> leaves;
  for (const auto& [name, weight] : model->weights())
    if (name.find("relative_attention_bias") != std::string::npos)
      leaves.emplace_back(name, weight.detach().clone().requires_grad_(true));
  REQUIRE(leaves.size() == 2);
  model->bind_weights(leaves);
  const PackedBatch batch = pack_all(random_tokens({19, 8}, 47, 3), {9, 3});
  const auto loss = [&] { return model->forward({.batch = &batch, .want_losses = true}).losses.sum(); };
  for (auto& [name, leaf] : leaves) {
    const at::Tensor gradient = gradients(loss(), {leaf})[0];
    CHECK(gradient.abs().max().item<double>() > 1e-3);
    const c10::NoGradGuard no_grad;
    for (std::int64_t i = 0; i < leaf.numel(); i += 5) {
      constexpr double kStep = 1e-6;
      double* value = leaf.data_ptr<double>() + i;
      *value += kStep;
      const double above = loss().item<double>();
      *value -= 2 * kStep;
      const double below = loss().item<double>();
      *value += kStep;
      CHECK((above - below) / (2 * kStep) ==
            Approx(gradient.flatten()[i].item<double>()).margin(1e-6 * gradient.abs().max().item<double>()));
    }
  }
}

TEST_CASE("a pass through the encoder stops and goes on between layers", "[encoder_decoder]") {
  const auto model = lively(small_t5_config());
  const PackedBatch batch = pack_all(random_tokens({9, 14}, 47, 3), {5, 6});
  const c10::NoGradGuard no_grad;
  const ForwardOutput all = model->forward({.batch = &batch, .want_losses = true, .hidden = HiddenStates::kAll});
  REQUIRE(all.hidden.size() == 3 + 4);
  CHECK(all.hidden_offsets.front() == std::vector<std::int64_t>{0, 5, 11});
  CHECK(all.hidden_offsets.back() == std::vector<std::int64_t>{0, 4, 12});
  const ForwardOutput below = model->forward({.batch = &batch, .end_layer = 1});
  REQUIRE(below.hidden.size() == 1);
  CHECK(relative_error(below.hidden[0], all.hidden[1]) < 1e-6);
  const ForwardOutput rest =
      model->forward({.batch = &batch, .want_losses = true, .first_layer = 1, .resume = below.hidden[0]});
  CHECK(relative_error(rest.losses, all.losses) < 1e-5);
  CHECK_THROWS_WITH(model->forward({.batch = &batch, .first_layer = 3, .resume = below.hidden[0]}),
                    Catch::Contains("goes on within its 2 encoder layers"));
  const ForwardOutput decoder = model->forward({.batch = &batch, .end_layer = 4});
  CHECK(relative_error(decoder.hidden[0], all.hidden[5]) < 1e-5);
}

TEST_CASE("answers of an encoder-decoder follow its logits and do not depend on the slots", "[encoder_decoder]") {
  const auto model = lively(small_t5_config());
  ActiveAdapters adapters = random_adapter(*model, t5_adapter());
  adapters.prefix = at::randn({5, 2, 24}) * 0.5;
  const c10::NoGradGuard no_grad;
  std::vector<GenerateJob> jobs;
  for (const auto& prompt : random_tokens({3, 11, 1, 30, 6}, 47, 9))
    jobs.push_back({.prompt = prompt, .max_new_tokens = 12});
  const auto answers = generate(*model, adapters, jobs, {.slots = 5});
  CHECK(generate(*model, adapters, jobs, {.slots = 2}) == answers);
  CHECK(generate(*model, adapters, jobs, {.slots = 3, .backend = BlockBackend::kReference}) == answers);
  std::vector<std::vector<std::int32_t>> whole;
  std::vector<std::int64_t> first;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    first.push_back(static_cast<std::int64_t>(jobs[i].prompt.size()));
    whole.push_back(jobs[i].prompt);
    whole.back().insert(whole.back().end(), answers[i].begin(), answers[i].end());
  }
  const PackedBatch batch = pack_all(whole, first);
  const at::Tensor logits = model->forward({.batch = &batch, .adapters = &adapters, .want_logits = true}).logits;
  CHECK(at::equal(at::argmax(logits, 1), batch.labels));
}

TEST_CASE("scores of candidates with common beginnings are their label losses", "[encoder_decoder]") {
  TransformerConfig decoder = small_config();
  decoder.sliding_window = 6;
  decoder.qk_norm = decoder.qkv_bias = true;
  decoder.model_type = "qwen3";
  for (const TransformerConfig& config : {small_t5_config(), decoder}) {
    INFO(config.model_type);
    const auto model = lively(config);
    const c10::NoGradGuard no_grad;
    const auto prompts = random_tokens({5, 12, 1}, 40, 2);
    const std::vector<std::vector<std::int32_t>> labels = {{3, 4, 5, 6}, {3, 4, 5}, {3, 4, 9, 1},
                                                           {8},          {3, 2},    {3, 4, 5, 6, 7}};
    const std::vector<std::vector<std::vector<std::int32_t>>> candidates = {labels, {labels[1], labels[0]}, labels};
    for (const auto backend : {BlockBackend::kFused, BlockBackend::kReference}) {
      const auto scores = score_continuations(*model, {}, prompts, candidates, {.slots = 2, .backend = backend});
      for (std::size_t p = 0; p < prompts.size(); ++p) {
        REQUIRE(scores[p].size() == candidates[p].size());
        for (std::size_t c = 0; c < candidates[p].size(); ++c) {
          std::vector<std::int32_t> whole = prompts[p];
          whole.insert(whole.end(), candidates[p][c].begin(), candidates[p][c].end());
          const PackedBatch one = pack_all({whole}, {static_cast<std::int64_t>(prompts[p].size())});
          const double loss = model->forward({.batch = &one, .want_losses = true}).losses.sum().item<double>();
          CHECK(scores[p][c] == Approx(-loss).epsilon(1e-4));
        }
      }
    }
  }
}
