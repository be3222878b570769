// Every family against transformers and PEFT; record.py made the fixtures. $MNEME_HF_PARITY names a directory of other
// models of the same form (live.py makes them).
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/adapter/bank.h"
#include "core/adapter/peft.h"
#include "core/model/generate.h"
#include "core/model/safetensors.h"
#include "core/model/transformer.h"
#include "core/train/optimizer.h"
#include "tests/support/catch.h"

using namespace mneme;
namespace fs = std::filesystem;

namespace {

constexpr double kLearningRate = 1e-3;
constexpr std::int64_t kNewTokens = 64;

fs::path fixtures() {
  const char* other = std::getenv("MNEME_HF_PARITY");
  return other != nullptr ? fs::path(other) : fs::path(MNEME_SOURCE_DIR) / "tests/parity/hf/fixtures";
}

std::vector<fs::path> directories() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fixtures()))
    if (fs::exists(entry.path() / "expected.safetensors")) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  REQUIRE_FALSE(found.empty());
  return found;
}

/// Largest difference over the largest value of the reference.
double relative_error(const at::Tensor& ours, const at::Tensor& theirs) {
  REQUIRE(ours.sizes() == theirs.sizes());
  const at::Tensor a = ours.detach().to(at::kDouble), b = theirs.to(at::kDouble);
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

/// One model with its adapter and what the reference computed.
class Case {
 public:
  explicit Case(const fs::path& directory, model::BlockBackend backend = model::BlockBackend::kFused)
      : model(model::Transformer::load(directory, at::kFloat)),
        bank(model),
        adapter(read_peft(directory / "adapter", bank, *model, "default")),
        expected(model::read_safetensors(directory / "expected.safetensors")),
        backend_(backend) {
    const std::int64_t* ids = expected.at("tokens").const_data_ptr<std::int64_t>();
    std::vector<model::Sequence> sequences;
    for (std::int64_t i = 0; i < expected.at("lengths").numel(); ++i) {
      const auto length = expected.at("lengths")[i].item<std::int64_t>();
      tokens.emplace_back(ids, ids + length);
      prompts.emplace_back(ids, ids + expected.at("first_labels")[i].item<std::int64_t>());
      ids += length;
    }
    for (std::size_t i = 0; i < tokens.size(); ++i)
      sequences.push_back({tokens[i], static_cast<std::int64_t>(prompts[i].size())});
    batch = model::pack(sequences);
  }

  model::ActiveAdapters active() const { return bank.resolve(with_adapters({adapter})); }

  model::ForwardOutput forward(const model::ActiveAdapters* adapters) const {
    return model->forward(
        {.batch = &batch, .adapters = adapters, .want_losses = true, .want_logits = true, .backend = backend_});
  }

  at::Tensor generated(const model::ActiveAdapters& adapters, std::int64_t slots) const {
    std::vector<model::GenerateJob> jobs;
    for (const auto& prompt : prompts) jobs.push_back({.prompt = prompt, .max_new_tokens = kNewTokens});
    std::vector<std::int64_t> all;
    for (const auto& answer : model::generate(*model, adapters, jobs, {.slots = slots, .backend = backend_}))
      all.insert(all.end(), answer.begin(), answer.end());
    return at::tensor(all, at::kInt).view({static_cast<std::int64_t>(prompts.size()), kNewTokens});
  }

  /// Answers of at most 24 tokens, and those that are expected under a name.
  using Answers = std::vector<std::vector<std::int32_t>>;
  Answers answers_with(const model::GenerateOptions& options, bool with_end) const {
    std::vector<model::GenerateJob> jobs;
    for (const auto& prompt : prompts) jobs.push_back({.prompt = prompt, .max_new_tokens = 24});
    if (with_end)
      for (auto& job : jobs) job.stop.push_back(expected.at("end").item<std::int32_t>());
    return model::generate(*model, {}, jobs, options);
  }
  Answers recorded(const std::string& name) const {
    Answers answers;
    const std::int32_t* ids = expected.at(name).const_data_ptr<std::int32_t>();
    const at::Tensor lengths = expected.at(name + "_lengths");
    for (std::int64_t i = 0; i < lengths.numel(); ++i) {
      const auto length = lengths[i].item<std::int32_t>();
      answers.emplace_back(ids, ids + length);
      ids += length;
    }
    return answers;
  }

  std::shared_ptr<model::Transformer> model;
  AdapterBank bank;
  AdapterId adapter;
  std::map<std::string, at::Tensor> expected;
  std::vector<std::vector<std::int32_t>> tokens, prompts;
  model::PackedBatch batch;

 private:
  model::BlockBackend backend_;
};

/// The gradients of a LoRA on a T5 are ill-conditioned in fp32.
double gradient_tolerance(const Case& c) { return c.model->config().encoder_decoder() ? 1e-3 : 1e-4; }

/// PEFT's name of a parameter in its files.
std::string peft_name(const Case& c, const ParameterView& view) {
  return fmt::format("base_model.model.{}.lora_{}.weight",
                     c.model->linears()[static_cast<std::size_t>(view.linear)].name,
                     view.role == ParameterRole::kLoraA ? "A" : "B");
}

void check_gradients(const Case& c) {
  for (const ParameterView& view : c.bank.views()) {
    const std::string name = "gradient/" + peft_name(c, view);
    INFO(name);
    CHECK(relative_error(view.of(c.bank.gradient()), c.expected.at(name)) < gradient_tolerance(c));
  }
}

/// Gradients in fp64 with the blocks' plain form, against fp64.
void check_double_gradients(const fs::path& directory, const Case& c) {
  const auto wide = model::Transformer::load(directory, at::kDouble);
  model::ActiveAdapters active = c.active();
  std::vector<at::Tensor> leaves;
  for (auto& group : active.groups) {
    for (model::LowRankDelta& delta : group) {
      delta.slice = delta.slice.detach().to(at::kDouble).requires_grad_(true);
      leaves.push_back(delta.slice);
    }
  }
  wide->forward({.batch = &c.batch, .adapters = &active, .want_losses = true}).losses.mean().backward();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& leaf : leaves) gradients.push_back(leaf.grad());
  const at::Tensor flat = at::cat(gradients);
  for (const ParameterView& view : c.bank.views(c.adapter)) {
    const std::string name = "gradient64/" + peft_name(c, view);
    INFO(name);
    CHECK(relative_error(view.of(flat), c.expected.at(name)) < 1e-6);
  }
}

/// A directory that goes away with the test.
struct TemporaryDirectory {
  fs::path path = fs::temp_directory_path() / fmt::format("mneme_hf_{}", ::getpid());
  ~TemporaryDirectory() { fs::remove_all(path); }
};

/// Where what is made of a model goes: live.py has transformers and PEFT read the same files.
fs::path written_to(const fs::path& model, const TemporaryDirectory& temporary) {
  return std::getenv("MNEME_HF_PARITY") != nullptr ? model / "ours" : temporary.path;
}

}  // namespace

TEST_CASE("logits are transformers' logits", "[hf]") {
  for (const fs::path& directory : directories()) {
    for (const auto backend : {model::BlockBackend::kFused, model::BlockBackend::kReference}) {
      INFO(directory.filename().string() << (backend == model::BlockBackend::kFused ? " fused" : " reference"));
      const c10::NoGradGuard no_grad;
      const Case c(directory, backend);
      CHECK(relative_error(c.forward(nullptr).logits, c.expected.at("logits")) < 1e-4);
      const model::ActiveAdapters active = c.active();
      CHECK(relative_error(c.forward(&active).logits, c.expected.at("adapter_logits")) < 1e-4);
    }
  }
}

TEST_CASE("greedy answers are transformers' answers", "[hf]") {
  for (const fs::path& directory : directories()) {
    for (const auto backend : {model::BlockBackend::kFused, model::BlockBackend::kReference}) {
      INFO(directory.filename().string() << (backend == model::BlockBackend::kFused ? " fused" : " reference"));
      const Case c(directory, backend);
      CHECK(at::equal(c.generated(model::ActiveAdapters{}, 3), c.expected.at("generated")));
      CHECK(at::equal(c.generated(c.active(), 2), c.expected.at("adapter_generated")));
    }
  }
}

TEST_CASE("answers under a repetition penalty and of beams are transformers'", "[hf]") {
  for (const fs::path& directory : directories()) {
    INFO(directory.filename().string());
    const Case c(directory);
    CHECK(c.answers_with({.slots = 3, .repetition_penalty = 1.4}, false) == c.recorded("penalised"));
    CHECK(c.answers_with({.slots = 7, .repetition_penalty = 1.2, .beam = {.beams = 3, .length_penalty = 0.7}}, true) ==
          c.recorded("beams"));
    CHECK(c.answers_with({.slots = 1, .beam = {.beams = 2, .early_stopping = true}}, true) ==
          c.recorded("early_beams"));
  }
}

TEST_CASE("LoRA gradients and ten optimiser steps are PEFT's", "[hf]") {
  for (const fs::path& directory : directories()) {
    INFO(directory.filename().string());
    Case c(directory);
    c.bank.set_trainable({c.adapter});
    const TrainOptions options{.weight_decay = 0.01};
    AdamW optimizer(options);
    at::Tensor values = c.bank.values(), gradient = c.bank.gradient();
    optimizer.reset(values.numel());
    const at::Tensor expected = c.expected.at("losses");
    for (std::int64_t step = 0; step < expected.numel(); ++step) {
      gradient.zero_();
      const model::ActiveAdapters active = c.active();
      const at::Tensor loss = c.forward(&active).losses.mean();
      loss.backward();
      if (step == 0) check_gradients(c);
      const double theirs = expected[step].item<double>();
      INFO("step " << step);
      CHECK(std::abs(loss.item<double>() - theirs) < 1e-4 * std::abs(theirs));
      optimizer.step(values, gradient, kLearningRate, {{0, values.numel(), 1.0, 0.01}});
    }
  }
}

TEST_CASE("layers that are computed again give the same losses and gradients", "[hf]") {
  for (const fs::path& directory : directories()) {
    INFO(directory.filename().string());
    Case c(directory);
    c.bank.set_trainable({c.adapter});
    std::vector<at::Tensor> gradients, losses;
    for (const bool recompute : {false, true}) {
      c.bank.gradient().zero_();
      const model::ActiveAdapters active = c.active();
      const at::Tensor loss =
          c.model->forward({.batch = &c.batch, .adapters = &active, .want_losses = true, .recompute = recompute})
              .losses;
      loss.mean().backward();
      losses.push_back(loss.detach());
      gradients.push_back(c.bank.gradient().clone());
    }
    CHECK(relative_error(losses[1], losses[0]) < 1e-6);
    CHECK(relative_error(gradients[1], gradients[0]) < 1e-5);
  }
}

TEST_CASE("in fp64 LoRA gradients are those of an fp64 reference", "[hf]") {
  for (const fs::path& directory : directories()) {
    INFO(directory.filename().string());
    const Case c(directory);
    const auto recorded = std::any_of(c.expected.begin(), c.expected.end(),
                                      [](const auto& entry) { return entry.first.starts_with("gradient64/"); });
    if (recorded) check_double_gradients(directory, c);
  }
}

TEST_CASE("prompt tuning of PEFT gives its logits", "[hf]") {
  for (const fs::path& directory : directories()) {
    if (!fs::exists(directory / "prompt")) continue;
    INFO(directory.filename().string());
    const c10::NoGradGuard no_grad;
    Case c(directory);
    const AdapterId prompt = read_peft(directory / "prompt", c.bank, *c.model, "prompt");
    const at::Tensor rows = c.bank.tensor(prompt, c.bank.views(prompt).front());
    model::ActiveAdapters active;
    active.prefix = rows.unsqueeze(0).expand({c.batch.sequences(), rows.size(0), rows.size(1)});
    const at::Tensor logits = c.forward(&active).logits;
    CHECK(relative_error(logits, c.expected.at("prompt_logits")) < 1e-4);
    const TemporaryDirectory temporary;
    const fs::path out = written_to(directory, temporary);
    write_peft(out / "prompt", c.bank, prompt, *c.model, directory.string());
    const AdapterId again = read_peft(out / "prompt", c.bank, *c.model, "again");
    CHECK(at::equal(c.bank.values(again), c.bank.values(prompt)));
    model::write_safetensors(out / "prompt_logits.safetensors", {{"logits", logits}}, {});
  }
}

TEST_CASE("what is written is read back, and merged weights give the adapter's logits", "[hf]") {
  for (const fs::path& directory : directories()) {
    INFO(directory.filename().string());
    const c10::NoGradGuard no_grad;
    Case c(directory);
    const TemporaryDirectory temporary;
    const fs::path out = written_to(directory, temporary);
    c.bank.values(c.adapter).mul_(1.25);
    write_peft(out / "adapter", c.bank, c.adapter, *c.model, directory.string());
    const AdapterId again = read_peft(out / "adapter", c.bank, *c.model, "again");
    CHECK(at::equal(c.bank.values(again), c.bank.values(c.adapter)));
    const model::ActiveAdapters active = c.active();
    const at::Tensor logits = c.forward(&active).logits;
    c.model->merged(active)->save(out / "merged", at::kFloat);
    const auto merged = model::Transformer::load(out / "merged", at::kFloat);
    CHECK(relative_error(merged->forward({.batch = &c.batch, .want_logits = true}).logits, logits) < 1e-4);
    model::write_safetensors(out / "logits.safetensors", {{"logits", logits}}, {});
  }
}

TEST_CASE("an adapter of another model is one error with everything that does not fit", "[hf]") {
  if (std::getenv("MNEME_HF_PARITY") != nullptr) return;
  Case c(fixtures() / "llama_plain");
  CHECK_THROWS_WITH(read_peft(fixtures() / "qwen3_untied" / "adapter", c.bank, *c.model, "other"),
                    Catch::Contains("the adapter does not fit the model") && Catch::Contains("wrong shape or type") &&
                        Catch::Contains("layers.0.self_attn.q_proj") && Catch::Contains("layers.1.mlp.down_proj"));
  CHECK_THROWS_WITH(read_peft(fixtures() / "t5_v10" / "adapter", c.bank, *c.model, "other"),
                    Catch::Contains("names no linear of the model"));
  CHECK(c.bank.ids().size() == 1);
}
