// Against Hugging Face's LlamaForCausalLM and PEFT; record_llama.py made the fixtures.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "core/model/generate.h"
#include "core/model/safetensors.h"
#include "core/model/transformer.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

using namespace mneme::model;
using mneme::model::test::relative_error;
namespace fs = std::filesystem;

namespace {

constexpr double kTolerance = 1e-4;  // fp32 against fp32, another order of summation

struct Fixture {
  explicit Fixture(const std::string& name)
      : directory(fs::path(MNEME_SOURCE_DIR) / "tests/parity/model/fixtures" / name),
        model(Transformer::load(directory, at::kFloat)),
        factors(read_safetensors(directory / "adapter.safetensors")),
        expected(read_safetensors(directory / "expected.safetensors")) {
    const at::Tensor lengths = expected.at("lengths");
    std::int64_t start = 0;
    for (std::int64_t i = 0; i < lengths.numel(); ++i) {
      const at::Tensor ids = expected.at("tokens").narrow(0, start, lengths[i].item<std::int64_t>());
      tokens.push_back(as_ids(ids));
      first_labels.push_back(expected.at("first_labels")[i].item<std::int64_t>());
      start += ids.numel();
    }
    make_adapters();
  }

  static std::vector<std::int32_t> as_ids(const at::Tensor& tensor) {
    const auto* ids = tensor.const_data_ptr<std::int64_t>();
    return {ids, ids + tensor.numel()};
  }

  /// PEFT's factors in the layout of one slice per group; scale is alpha / r = 2 in all fixtures.
  void make_adapters() {
    for (const GroupInfo& group : model->groups()) {
      adapters.groups.emplace_back();
      auto layout = std::make_shared<LowRankLayout>();
      std::vector<at::Tensor> downs, ups;
      std::vector<std::string> group_names;
      for (const std::int64_t l : group.linears) {
        const LinearInfo& linear = model->linears()[static_cast<std::size_t>(l)];
        if (!factors.contains(linear.name + ".lora_A.weight")) continue;
        downs.push_back(factors.at(linear.name + ".lora_A.weight").flatten());
        ups.push_back(factors.at(linear.name + ".lora_B.weight").flatten());
        layout->rank = factors.at(linear.name + ".lora_A.weight").size(0);
        layout->in = linear.in;
        layout->parts.push_back({.linear = l, .first_column = linear.first_column, .out = linear.out});
        group_names.push_back(linear.name);
      }
      if (downs.empty()) continue;
      std::vector<at::Tensor> all = downs;
      std::vector<std::string> keys;
      for (const auto& name : group_names) keys.push_back("grad." + name + ".lora_A.weight");
      for (const auto& name : group_names) keys.push_back("grad." + name + ".lora_B.weight");
      all.insert(all.end(), ups.begin(), ups.end());
      const at::Tensor slice = at::cat(all, 0).requires_grad_(true);
      adapters.groups.back().push_back({.slice = slice, .layout = layout, .scale = 2});
      slices.push_back(slice);
      std::vector<at::Tensor> grads;
      for (const auto& key : keys) grads.push_back(expected.at(key).flatten());
      expected_gradients.push_back(at::cat(grads, 0));
    }
  }

  PackedBatch batch() const { return test::pack_all(tokens, first_labels); }

  at::Tensor losses(BlockBackend backend) const {
    const PackedBatch packed = batch();
    return model->forward({.batch = &packed, .adapters = &adapters, .want_losses = true, .backend = backend}).losses;
  }

  fs::path directory;
  std::unique_ptr<Transformer> model;
  std::map<std::string, at::Tensor> factors, expected;
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<std::int64_t> first_labels;
  ActiveAdapters adapters;
  std::vector<at::Tensor> slices, expected_gradients;
};

/// PyTorch's AdamW on one tensor, written out.
struct AdamW {
  at::Tensor m, v;
  void step(at::Tensor parameter, const at::Tensor& gradient, int count) {
    constexpr double kRate = 1e-2, kDecay = 0.01, kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    if (!m.defined()) m = at::zeros_like(gradient), v = at::zeros_like(gradient);
    parameter.mul_(1 - kRate * kDecay);
    m = m * kBeta1 + gradient * (1 - kBeta1);
    v = v * kBeta2 + gradient * gradient * (1 - kBeta2);
    const at::Tensor denominator = (v / (1 - std::pow(kBeta2, count))).sqrt() + kEpsilon;
    parameter.sub_(m / (1 - std::pow(kBeta1, count)) / denominator * kRate);
  }
};

const std::vector<std::string> kCases{"untied_gqa", "tied_mha", "wide_head_llama3"};

}  // namespace

TEST_CASE("logits and hidden states equal Hugging Face's", "[parity]") {
  for (const auto& name : kCases) {
    for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused}) {
      const Fixture f(name);
      const PackedBatch batch = f.batch();
      const auto out =
          f.model->forward({.batch = &batch, .rows = RowsNeeded::kAll, .want_logits = true, .backend = backend});
      INFO(name);
      CHECK(relative_error(out.logits, f.expected.at("base.logits")) < kTolerance);
      const PackedBatch one = test::pack_all({f.tokens[0]}, {f.first_labels[0]});
      const auto hidden = f.model->forward({.batch = &one, .hidden = HiddenStates::kAll, .backend = backend}).hidden;
      REQUIRE(static_cast<std::int64_t>(hidden.size()) == f.model->config().num_hidden_layers + 1);
      CHECK(relative_error(at::stack(hidden), f.expected.at("base.hidden")) < kTolerance);
    }
  }
}

TEST_CASE("losses and LoRA gradients equal PEFT's", "[parity]") {
  for (const auto& name : kCases) {
    for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused}) {
      const Fixture f(name);
      const at::Tensor losses = f.losses(backend);
      INFO(name);
      CHECK(relative_error(losses, f.expected.at("lora.losses")) < kTolerance);
      const auto gradients = test::gradients(losses.mean(), f.slices);
      for (std::size_t i = 0; i < gradients.size(); ++i)
        CHECK(relative_error(gradients[i], f.expected_gradients[i]) < kTolerance);
    }
  }
}

TEST_CASE("ten AdamW steps give PEFT's losses", "[parity]") {
  for (const auto& name : kCases) {
    const Fixture f(name);
    std::vector<AdamW> optimizer(f.slices.size());
    std::vector<double> losses;
    for (int step = 1; step <= f.expected.at("adamw.losses").numel(); ++step) {
      const at::Tensor loss = f.losses(BlockBackend::kFused).mean();
      losses.push_back(loss.item<double>());
      const auto gradients = test::gradients(loss, f.slices);
      for (std::size_t i = 0; i < f.slices.size(); ++i) optimizer[i].step(f.slices[i].detach(), gradients[i], step);
    }
    INFO(name);
    CHECK(relative_error(at::tensor(losses), f.expected.at("adamw.losses")) < 1e-3);
  }
}

TEST_CASE("greedy generation equals Hugging Face's", "[parity]") {
  for (const auto& name : kCases) {
    for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused}) {
      const Fixture f(name);
      std::vector<GenerateJob> jobs;
      for (int i = 0; i < 3; ++i)
        jobs.push_back({.prompt = Fixture::as_ids(f.expected.at(fmt::format("prompt.{}", i))), .max_new_tokens = 64});
      const auto answers = generate(*f.model, f.adapters, jobs, {.slots = 2, .backend = backend});
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        INFO(name << " prompt " << i);
        CHECK(answers[i] == Fixture::as_ids(f.expected.at(fmt::format("answer.{}", i))));
      }
    }
  }
}
