#include "core/strategy/learner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <set>

#include "core/adapter/peft.h"
#include "core/adapter/state.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/model/generate.h"

namespace mneme {

namespace {
/// What of a forward spec decides the answers of each prompt: adapters by content, coefficients, gates, prefixes.
std::vector<std::string> spec_keys(const AdapterBank& bank, const ForwardSpec& spec, std::size_t prompts) {
  std::vector<std::string> keys(prompts);
  for (const AdapterUse& use : spec.adapters) {
    const std::string common = fmt::format("{}*{:a}", bank.digest(use.adapter), use.coefficient);
    const at::Tensor gate = use.gate.defined() ? use.gate.detach().to(at::kFloat).contiguous() : at::Tensor();
    for (std::size_t i = 0; i < prompts; ++i) {
      const float value = gate.defined() ? gate.const_data_ptr<float>()[i] : 1.0F;
      if (value != 0) keys[i] += fmt::format("{}@{:a};", common, value);
    }
  }
  if (spec.prefix.defined())
    for (std::size_t i = 0; i < prompts; ++i)
      keys[i] += "prefix" + tensor_digest(spec.prefix[static_cast<std::int64_t>(i)]);
  return keys;
}

/// Identity of one generation.
std::string generation_key(const std::string& spec_key, const model::GenerateJob& job) {
  Sha256 hash;
  hash.update(spec_key);
  hash.update(fmt::format("|{}:", job.prompt.size()));
  hash.update(job.prompt.data(), job.prompt.size() * sizeof(job.prompt[0]));
  hash.update(fmt::format("max {}", job.max_new_tokens));
  for (const std::int32_t id : job.stop) hash.update(fmt::format(",{}", id));
  return hash.hex();
}

/// The spec for some of its prompts.
ForwardSpec chosen(ForwardSpec spec, const std::vector<std::int64_t>& prompts) {
  const at::Tensor index = at::tensor(prompts, at::kLong);
  for (AdapterUse& use : spec.adapters)
    if (use.gate.defined()) use.gate = use.gate.index_select(0, index);
  if (spec.prefix.defined()) spec.prefix = spec.prefix.index_select(0, index);
  return spec;
}
}  // namespace

Learner::Learner(std::shared_ptr<model::Transformer> model, LearnerOptions options, RunSink& sink)
    : model_(std::move(model)), options_(std::move(options)), sink_(sink), bank_(model_), cache_(options_.cache) {}
Learner::~Learner() = default;

AdapterId Learner::create_adapter(const std::string& name, const std::string& start, std::int64_t first_layer) {
  if (options_.adapter.kind == "full") return bank_.create_full(name);
  if (!options_.adapter.peft.empty()) return read_peft(options_.adapter.peft, bank_, *model_, name);
  RandomStream stream(options_.seed, "adapter/" + start);
  LoraOptions lora = options_.adapter.lora;
  lora.first_layer = std::max(lora.first_layer, first_layer);
  return bank_.create_lora(name, lora, stream);
}

at::Tensor Learner::parameters() const {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& leaf : bank_.leaves()) flat.push_back(leaf.flatten());
  return flat.empty() ? at::zeros({0}, at::kFloat) : at::cat(flat);
}

model::ForwardOutput Learner::forward(const ForwardSpec& spec, const Batch& batch) {
  const model::ActiveAdapters adapters = bank_.resolve(spec);
  model::ForwardRequest request;
  request.batch = &batch.packed;
  request.adapters = &adapters;
  request.rows = spec.rows;
  request.want_losses = spec.rows == model::RowsNeeded::kLabels && spec.end_layer < 0;
  request.want_logits = spec.want_logits;
  request.hidden = spec.hidden;
  request.dropout = spec.dropout ? dropout_ : nullptr;
  request.first_layer = spec.first_layer;
  request.end_layer = spec.end_layer;
  request.resume = spec.resume;
  request.capture_linears = spec.capture_linears;
  request.recompute = options_.recompute;
  const auto layers = static_cast<double>(model_->config().total_layers());
  const double end = spec.end_layer < 0 ? layers : static_cast<double>(spec.end_layer);
  const double part = (end - static_cast<double>(spec.first_layer)) / layers;
  const double forward_flops =
      2.0 * static_cast<double>(model_->parameter_count()) * part * static_cast<double>(batch.packed.tokens());
  work_.flops += at::GradMode::is_enabled() ? 2 * forward_flops : forward_flops;
  return model_->forward(request);
}

Term Learner::cross_entropy(const ForwardSpec& spec, const Batch& batch, std::string name) {
  // A batch without labels adds nothing; its mean would be 0/0.
  if (batch.packed.label_count() == 0) return {std::move(name), at::zeros({}, at::kFloat), 1, 0};
  return {std::move(name), forward(spec, batch).losses.mean(), 1, batch.label_share};
}

at::Tensor Learner::gradient_on(const ForwardSpec& spec, const Batch& batch) {
  at::AutoGradMode on(true);
  at::Tensor loss = cross_entropy(spec, batch).value;
  if (!loss.requires_grad()) return at::zeros_like(bank_.values());
  const auto gradients = torch::autograd::grad({loss}, bank_.leaves(), /*grad_outputs=*/{}, /*retain_graph=*/false,
                                               /*create_graph=*/false, /*allow_unused=*/true);
  loss.reset();  // and with it what the pass has left: where all weights are trained, copies of them
  at::Tensor flat = at::zeros_like(bank_.values());
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const std::int64_t size = bank_.leaves()[i].numel();
    if (gradients[i].defined()) flat.narrow(0, offset, size).copy_(gradients[i].flatten());
    offset += size;
  }
  return flat;
}

at::Tensor Learner::fisher_diagonal(const ForwardSpec& spec, const Dataset& data, std::int64_t limit) {
  const std::size_t count = limit > 0 ? std::min(data.size(), static_cast<std::size_t>(limit)) : data.size();
  at::Tensor sum = at::zeros_like(bank_.values());
  for (std::size_t i = 0; i < count; ++i) {
    const at::Tensor gradient = gradient_on(spec, make_batch({data[i]}));
    sum.addcmul_(gradient, gradient);
  }
  return count == 0 ? sum : sum.div_(static_cast<double>(count));
}

void Learner::pass_over(const Dataset& data, const std::function<void(const Batch&)>& f) {
  at::NoGradGuard off;
  const auto step = static_cast<std::size_t>(std::max<std::int64_t>(1, options_.pass_batch));
  for (std::size_t i = 0; i < data.size(); i += step)
    f(make_batch(Dataset(data.begin() + static_cast<std::ptrdiff_t>(i),
                         data.begin() + static_cast<std::ptrdiff_t>(std::min(data.size(), i + step)))));
}

double Learner::mean_loss(const ForwardSpec& spec, const Dataset& data) {
  double sum = 0;
  std::int64_t labels = 0;
  pass_over(data, [&](const Batch& batch) {
    sum += forward(spec, batch).losses.to(at::kDouble).sum().item<double>();
    labels += batch.packed.label_count();
  });
  MNEME_CHECK(labels > 0, "the mean loss of a data set without labels was asked for");
  return sum / static_cast<double>(labels);
}

std::vector<Tokens> Learner::generate(const ForwardSpec& spec, const PromptBatch& prompts) {
  at::NoGradGuard off;
  const std::vector<std::string> spec_key = spec_keys(bank_, spec, prompts.prompts.size());
  std::vector<std::string> keys;
  std::set<std::string> unanswered;
  std::vector<model::GenerateJob> jobs;
  std::vector<std::int64_t> job_prompts;
  for (std::size_t i = 0; i < prompts.prompts.size(); ++i) {
    keys.push_back(generation_key(spec_key[i], prompts.prompts[i]));
    if (answered_.contains(keys[i]) || !unanswered.insert(keys[i]).second) continue;
    jobs.push_back(prompts.prompts[i]);
    job_prompts.push_back(static_cast<std::int64_t>(i));
  }
  if (!jobs.empty()) {
    model::GenerateOptions options = options_.generation;
    options.slots = options_.decode_slots;
    std::vector<Tokens> made = model::generate(*model_, bank_.resolve(chosen(spec, job_prompts)), jobs, options);
    for (std::size_t j = 0; j < jobs.size(); ++j) {
      work_.flops += 2.0 * static_cast<double>(model_->parameter_count()) *
                     static_cast<double>(jobs[j].prompt.size() + made[j].size());
      answered_.emplace(keys[static_cast<std::size_t>(job_prompts[j])], std::move(made[j]));
    }
  }
  std::vector<Tokens> answers;
  for (const std::string& key : keys) answers.push_back(answered_.at(key));
  return answers;
}

std::vector<std::vector<double>> Learner::score(const ForwardSpec& spec, const PromptBatch& prompts,
                                                std::span<const std::vector<Tokens>> candidates) {
  at::NoGradGuard off;
  std::vector<Tokens> texts;
  for (const auto& job : prompts.prompts) texts.push_back(job.prompt);
  model::GenerateOptions options;
  options.slots = options_.decode_slots;
  return model::score_continuations(*model_, bank_.resolve(spec), texts, candidates, options);
}

at::Tensor Learner::cached(const std::string& key, const std::function<at::Tensor()>& compute) {
  if (model_digest_.empty() || options_.adapter.kind == "full") {  // weights that are trained change
    Sha256 hash;
    for (const auto& [name, weight] : model_->weights()) hash.update(name + tensor_digest(weight.detach()));
    model_digest_ = hash.hex();
  }
  // Another instruction set or number of threads may round otherwise, which a cache must not carry into a run.
  return cache_.get(fmt::format("{}|{}|{}|{}", model_digest_, at::get_cpu_capability(), at::get_num_threads(), key),
                    compute);
}

Learner::Scratch::Scratch(AdapterBank& bank) : bank_(bank), saved_(bank.values().detach().clone()) {}
Learner::Scratch::~Scratch() { bank_.values().copy_(saved_); }

void Learner::report(const std::string& name, double value) { sink_.term({step_, name, value}); }

void Learner::report_array(const std::string& name, const at::Tensor& values) {
  const at::Tensor flat = values.detach().to(at::kCPU, at::kDouble).contiguous();
  ArrayEvent event{name, values.sizes().vec(), {}};
  event.values.assign(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
  sink_.array(event);
}

}  // namespace mneme
