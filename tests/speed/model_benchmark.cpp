// Tokens per second of the model module on the shape of the default workload: width 128, 4 layers, heads of 32, byte
// vocabulary, 16 sequences of 30 to 90 tokens, fp32. Other shapes by name. Rates are per second of CPU time of all
// threads' wall clock as Google Benchmark counts it; "tokens" are fed tokens, there is no padding.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>

#include "core/model/generate.h"
#include "tests/core/model/model_support.h"

namespace {

using namespace mneme::model;

struct Shape {
  std::int64_t width, layers, heads, kv_heads, inner, vocab;
};
constexpr Shape kTiny{128, 4, 4, 4, 352, 259};
constexpr Shape kSmall{512, 8, 8, 8, 1376, 32000};

TransformerConfig config_of(const Shape& s) {
  TransformerConfig c;
  c.vocab_size = s.vocab;
  c.hidden_size = s.width;
  c.intermediate_size = s.inner;
  c.num_hidden_layers = s.layers;
  c.num_attention_heads = s.heads;
  c.num_key_value_heads = s.kv_heads;
  c.head_dim = s.width / s.heads;
  return c;
}

struct Workload {
  explicit Workload(const Shape& shape, std::int64_t shortest, std::int64_t longest, bool all_linears) {
    mneme::RandomStream rng(1, "weights");
    model = Transformer::random(config_of(shape), at::kFloat, rng);
    test::AdapterOptions options{.rank = 8, .scale = 2, .deviation = 0.02};
    if (!all_linears) options.kinds = {"q_proj", "v_proj"};
    adapters = test::random_adapter(*model, options);
    slices = test::slices_of(adapters);
    std::vector<std::int64_t> lengths, first;
    for (int i = 0; i < 16; ++i) {
      lengths.push_back(shortest +
                        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(longest - shortest))));
      first.push_back(lengths.back() - 1 - static_cast<std::int64_t>(rng.below(8)));
    }
    batch = test::pack_all(test::random_tokens(lengths, shape.vocab, 2), first);
  }

  std::unique_ptr<Transformer> model;
  ActiveAdapters adapters;
  std::vector<at::Tensor> slices;
  PackedBatch batch;
};

void set_threads(const benchmark::State& state) { at::set_num_threads(static_cast<int>(state.range(0))); }

void count_tokens(benchmark::State& state, std::int64_t tokens) {
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsIterationInvariantRate);
}

void train_step(benchmark::State& state, const Shape& shape, std::int64_t shortest, std::int64_t longest,
                BlockBackend backend, bool all_linears) {
  set_threads(state);
  const Workload w(shape, shortest, longest, all_linears);
  for (auto _ : state) {
    const at::Tensor loss =
        w.model->forward({.batch = &w.batch, .adapters = &w.adapters, .want_losses = true, .backend = backend})
            .losses.mean();
    loss.backward();
    for (const at::Tensor& slice : w.slices) slice.mutable_grad() = at::Tensor();
  }
  count_tokens(state, w.batch.tokens());
}

void full_training_step(benchmark::State& state, const Shape& shape) {
  set_threads(state);
  const Workload w(shape, 30, 90, true);
  std::vector<std::pair<std::string, at::Tensor>> leaves;
  for (const auto& [name, weight] : w.model->weights()) leaves.emplace_back(name, weight.clone().requires_grad_(true));
  w.model->bind_weights(leaves);
  for (auto _ : state) {
    w.model->forward({.batch = &w.batch, .want_losses = true}).losses.mean().backward();
    for (const auto& [name, leaf] : leaves) leaf.mutable_grad() = at::Tensor();
  }
  count_tokens(state, w.batch.tokens());
}

void prefill(benchmark::State& state, const Shape& shape, std::int64_t shortest, std::int64_t longest) {
  set_threads(state);
  const c10::NoGradGuard no_grad;
  const Workload w(shape, shortest, longest, true);
  const auto merged = w.model->merged(w.adapters);
  for (auto _ : state)
    benchmark::DoNotOptimize(merged->forward({.batch = &w.batch, .rows = RowsNeeded::kLast, .want_logits = true}));
  count_tokens(state, w.batch.tokens());
}

void generation(benchmark::State& state, const Shape& shape, bool merge, std::size_t prompts) {
  set_threads(state);
  const Workload w(shape, 30, 90, true);
  const auto merged = w.model->merged(w.adapters);
  mneme::RandomStream rng(3, "prompts");
  std::vector<GenerateJob> jobs;
  for (std::size_t i = 0; i < prompts; ++i)
    jobs.push_back({.prompt = test::random_tokens({50 + static_cast<std::int64_t>(rng.below(20))}, shape.vocab, i)[0],
                    .max_new_tokens = 2 + static_cast<std::int64_t>(rng.below(19))});
  std::int64_t made = 0;
  for (auto _ : state) {
    made = 0;
    for (const auto& answer : generate(merge ? *merged : *w.model, merge ? ActiveAdapters{} : w.adapters, jobs, {}))
      made += static_cast<std::int64_t>(answer.size());
  }
  count_tokens(state, made);
}

}  // namespace

BENCHMARK_CAPTURE(train_step, tiny_lora_all, kTiny, 30, 90, BlockBackend::kFused, true)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(train_step, tiny_lora_qv, kTiny, 30, 90, BlockBackend::kFused, false)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(train_step, tiny_reference, kTiny, 30, 90, BlockBackend::kReference, true)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(full_training_step, tiny, kTiny)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(prefill, tiny, kTiny, 30, 90)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(generation, tiny_merged_1500, kTiny, true, 1500)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(generation, tiny_adapter_1500, kTiny, false, 1500)->Arg(1)->UseRealTime();
BENCHMARK_CAPTURE(train_step, small_lora_qv, kSmall, 30, 400, BlockBackend::kFused, false)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(prefill, small, kSmall, 30, 400)->Arg(1)->UseRealTime();
BENCHMARK_MAIN();
