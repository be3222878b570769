// The model on a device beside the CPU equals the model on the CPU, and strategies need not know where it is.
#include "core/model/device.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/model/generate.h"
#include "tests/core/device/other_device.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::model;
using namespace mneme::model::test;
using mneme::test::other_device;

namespace {

/// The same weights on both devices, through a model directory.
struct Pair {
  explicit Pair(const TransformerConfig& config, at::ScalarType dtype = at::kFloat) {
    const mneme::test::TemporaryDirectory directory;
    lively_model(config)->save(directory.path(), at::kFloat);
    here = Transformer::load(directory.path(), dtype);
    there = Transformer::load(directory.path(), dtype, other_device());
    kinds.kinds = config.encoder_decoder() ? std::vector<std::string>{"q", "v", "wo"} : kinds.kinds;
  }

  ActiveAdapters adapters() const { return random_adapter(*here, kinds); }

  std::unique_ptr<Transformer> here, there;
  mneme::model::test::AdapterOptions kinds;
};

/// Sequences whose labels are their ends, as an encoder-decoder needs them.
PackedBatch batch_of(const Transformer& model) {
  return pack_all(random_tokens(kLengths, model.config().vocab_size, 3), kFirst);
}

const std::vector<TransformerConfig> kConfigs = {small_config(), small_t5_config()};

}  // namespace

TEST_CASE("losses, logits and hidden states on another device are those of the CPU", "[device]") {
  for (const TransformerConfig& config : kConfigs) {
    const Pair pair(config);
    CHECK(pair.there->device() == other_device());
    for (const auto& [name, weight] : pair.there->weights()) CHECK(weight.device() == other_device());
    const ActiveAdapters adapters = pair.adapters();
    const PackedBatch batch = batch_of(*pair.here);
    ForwardRequest request{.batch = &batch,
                           .adapters = &adapters,
                           .want_losses = true,
                           .want_logits = true,
                           .hidden = HiddenStates::kAll,
                           .capture_linears = {0, 3}};
    const ForwardOutput here = pair.here->forward(request), there = pair.there->forward(request);
    CHECK(there.losses.is_cpu());
    CHECK(relative_error(there.losses, here.losses) < 1e-5);
    CHECK(relative_error(there.logits, here.logits) < 1e-5);
    REQUIRE(there.hidden.size() == here.hidden.size());
    for (std::size_t i = 0; i < here.hidden.size(); ++i) CHECK(relative_error(there.hidden[i], here.hidden[i]) < 1e-5);
    REQUIRE(there.captured.size() == 2);
    for (const auto& [linear, value] : here.captured) CHECK(relative_error(there.captured.at(linear), value) < 1e-5);
    // Pruned last layer, and a pass that goes on from hidden states.
    request = {.batch = &batch, .adapters = &adapters, .want_losses = true};
    CHECK(relative_error(pair.there->forward(request).losses, pair.here->forward(request).losses) < 1e-5);
    const at::Tensor entering = pair.there->forward({.batch = &batch, .adapters = &adapters, .end_layer = 1}).hidden[0];
    request.first_layer = 1;
    request.resume = entering;
    CHECK(relative_error(pair.there->forward(request).losses, here.losses) < 1e-5);
  }
}

TEST_CASE("gradients come back to adapters on the CPU, with recomputation too", "[device]") {
  for (const TransformerConfig& config : kConfigs) {
    const Pair pair(config);
    const PackedBatch batch = batch_of(*pair.here);
    const auto slopes = [&](const Transformer& model, bool recompute) {
      ActiveAdapters adapters = pair.adapters();
      const std::int64_t sequences = batch.sequences();
      adapters.prefix = at::full({sequences, 2, config.hidden_size}, 0.1, at::kFloat).requires_grad_(true);
      for (auto& group : adapters.groups)
        for (LowRankDelta& delta : group) delta.gate = at::linspace(0.5, 1.5, sequences, at::kFloat);
      RandomStream dropout(4, "dropout");
      const ForwardOutput out = model.forward(
          {.batch = &batch, .adapters = &adapters, .want_losses = true, .dropout = &dropout, .recompute = recompute});
      std::vector<at::Tensor> leaves = slices_of(adapters);
      leaves.push_back(adapters.prefix);
      return gradients(out.losses.sum(), leaves);
    };
    const auto here = slopes(*pair.here, false);
    for (const bool recompute : {false, true}) {
      const auto there = slopes(*pair.there, recompute);
      REQUIRE(there.size() == here.size());
      for (std::size_t i = 0; i < here.size(); ++i) {
        CHECK(there[i].is_cpu());
        CHECK(relative_error(there[i], here[i]) < 1e-4);
      }
    }
  }
}

// bf16 goes through flash attention there.
TEST_CASE("losses, gradients and scores in bf16 on another device are near those of the CPU", "[device]") {
  TransformerConfig config = small_config();
  config.head_dim = 16;
  for (const std::int64_t window : {0, 3}) {
    config.model_type = window > 0 ? "mistral" : "llama";
    config.sliding_window = window;
    const Pair pair(config, at::kBFloat16);
    REQUIRE(pair.there->config().sliding_window == window);
    const PackedBatch batch = batch_of(*pair.here);
    for (const RowsNeeded rows : {RowsNeeded::kLabels, RowsNeeded::kAll}) {
      const auto run = [&](const Transformer& model) {
        const ActiveAdapters adapters = pair.adapters();
        const at::Tensor logits =
            model.forward({.batch = &batch, .adapters = &adapters, .rows = rows, .want_logits = true}).logits;
        return std::pair(logits.detach(),
                         gradients(at::log_softmax(logits, 1).select(1, 0).sum(), slices_of(adapters)));
      };
      const auto here = run(*pair.here), there = run(*pair.there);
      CHECK(relative_error(there.first, here.first) < 0.05);
      for (std::size_t i = 0; i < here.second.size(); ++i)
        CHECK(relative_error(there.second[i], here.second[i]) < 0.05);
    }
    const auto prompts = random_tokens({5, 1, 12, 8}, config.vocab_size, 9);
    const std::vector<std::vector<std::vector<std::int32_t>>> candidates(4, {{3, 4}, {3, 5, 6}, {7}});
    const auto here = score_continuations(*pair.here, pair.adapters(), prompts, candidates, {});
    const auto there = score_continuations(*pair.there, pair.adapters(), prompts, candidates, {});
    for (std::size_t p = 0; p < here.size(); ++p)
      for (std::size_t c = 0; c < here[p].size(); ++c) CHECK(there[p][c] == Approx(here[p][c]).epsilon(0.03));
  }
}

TEST_CASE("answers and scores on another device are those of the CPU", "[device]") {
  for (const TransformerConfig& config : kConfigs) {
    const Pair pair(config);
    const ActiveAdapters adapters = pair.adapters();
    const auto prompts = random_tokens({5, 1, 12, 8}, config.vocab_size, 9);
    for (const std::int64_t beams : {1, 3}) {
      const GenerateOptions options{.slots = 3, .beam = {.beams = beams}};
      std::vector<GenerateJob> jobs;
      for (const auto& prompt : prompts) jobs.push_back({.prompt = prompt, .max_new_tokens = 9});
      CHECK(generate(*pair.there, adapters, jobs, options) == generate(*pair.here, adapters, jobs, options));
    }
    const std::vector<std::vector<std::vector<std::int32_t>>> candidates(4, {{3, 4}, {3, 5, 6}, {7}});
    const auto here = score_continuations(*pair.here, adapters, prompts, candidates, {.slots = 2});
    const auto there = score_continuations(*pair.there, adapters, prompts, candidates, {.slots = 2});
    for (std::size_t p = 0; p < here.size(); ++p)
      for (std::size_t c = 0; c < here[p].size(); ++c) CHECK(there[p][c] == Approx(here[p][c]).epsilon(1e-5));
  }
}

TEST_CASE("weights are merged and saved from another device", "[device]") {
  const Pair pair(small_config());
  const PackedBatch batch = batch_of(*pair.here);
  const auto merged = pair.there->merged(pair.adapters());
  CHECK(merged->device() == other_device());
  const at::Tensor expected =
      pair.here->merged(pair.adapters())->forward({.batch = &batch, .want_losses = true}).losses;
  CHECK(relative_error(merged->forward({.batch = &batch, .want_losses = true}).losses, expected) < 1e-5);
  const mneme::test::TemporaryDirectory directory;
  merged->save(directory.path(), at::kFloat);
  const auto loaded = Transformer::load(directory.path(), at::kFloat);
  CHECK(relative_error(loaded->forward({.batch = &batch, .want_losses = true}).losses, expected) < 1e-5);
}

TEST_CASE("every strategy trains a model on another device as one on the CPU", "[device]") {
  for (const auto& name : mneme::test::plugins_under_test()) {
    INFO(name);
    mneme::test::ToyOptions options;
    const auto here = mneme::test::trained(name, {}, options);
    options.device = other_device();
    const auto there = mneme::test::trained(name, {}, options);
    const auto expected = here->sink.losses(), found = there->sink.losses();
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(expected[i]).epsilon(1e-3).margin(1e-5));
  }
}

TEST_CASE("a name that means no device here says so", "[device]") {
  CHECK(open_device("cpu") == c10::Device(c10::kCPU));
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:999", ""})
    CHECK_THROWS_WITH(open_device(name), Catch::Contains("expected cpu, cuda or cuda:N"));
}
