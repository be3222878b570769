#include "core/run/pretrain.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/adapter/bank.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/config/check.h"
#include "core/config/section.h"
#include "core/run/options.h"
#include "core/run/vocabulary/learnt_tokenizer.h"
#include "core/text/byte_tokenizer.h"
#include "core/train/optimizer.h"

namespace mneme::run {

namespace {
using enum ParamType;

const ParamSpecs& pretrain_specs() {
  static const ParamSpecs specs = {
      {"output", kText, "???", "", "directory to write the model to"},
      {"dtype", kChoice, "fp32", "fp32|bf16", "type of the stored weights"},
      {"seed", kInt, "1", ">= 0", "of the first weights"},
      {"vocabulary", kInt, "0", ">= 0", "pieces of a vocabulary learnt from the documents; 0: bytes"},
      {"steps", kInt, "1000", ">= 1", "optimiser steps"},
      {"batch_tokens", kInt, "8192", ">= 1", "input tokens per step"},
      {"max_length", kInt, "512", ">= 8", "tokens of a document; longer ones are cut"},
      {"prompt_weight", kReal, "1", "[0, 1]", "weight of a prompt's tokens in the loss; an answer's weigh 1"},
      {"learning_rate", kReal, "3e-3", "> 0", "peak of the schedule"},
      {"warmup_steps", kInt, "100", ">= 0", "steps of linear warm-up"},
      {"decay_ratio", kReal, "0.6", "[0, 1]", "last part of the steps, in which the rate falls linearly to 0"},
      {"weight_decay", kReal, "0.05", ">= 0", "of matrices"},
      {"beta1", kReal, "0.9", "[0, 1)", "of AdamW"},
      {"beta2", kReal, "0.98", "[0, 1)", "of AdamW"},
      {"clip", kReal, "1.0", ">= 0", "largest 2-norm of the gradient; 0: no clipping"},
      {"model.hidden_size", kInt, "???", ">= 1", "width"},
      {"model.intermediate_size", kInt, "???", ">= 1", "width of the feed-forward sublayers"},
      {"model.num_hidden_layers", kInt, "???", ">= 1", "layers"},
      {"model.num_decoder_layers", kInt, "0", ">= 0", "layers of a T5's decoder; 0: a decoder alone, of LLaMA's kind"},
      {"model.num_attention_heads", kInt, "???", ">= 1", "attention heads"},
      {"model.num_key_value_heads", kInt, "???", ">= 1", "key-value heads"},
      {"model.head_dim", kInt, "???", ">= 2", "width of a head"},
      {"model.rope_theta", kReal, "10000", "> 0", "base of the rotary frequencies"},
      {"model.rms_norm_eps", kReal, "1e-6", "> 0", "of RMSNorm"},
      {"model.tie_word_embeddings", kBool, "true", "", "whether the head is the embedding"},
      {"text.kind", kChoice, "generated", "generated|files", "where documents come from"},
      {"text.seed", kInt, "1", ">= 0", "of the generated text and of the documents' order"},
      {"text.files", kTextList, "[]", "", "plain text, or .json with rows of prompt and answer"},
      {"text.answers", kBool, "true", "", "whether rows are read with their answers, or their prompts alone"}};
  return specs;
}

/// Documents of one step, every token that can be predicted a label, and the labels' weights [M].
struct WeightedBatch {
  model::PackedBatch packed;
  at::Tensor weights, is_answer;
};

WeightedBatch weighted_batch(Documents& documents, DocumentForm& form, const PretrainOptions& options) {
  std::vector<SamplePtr> samples;
  std::vector<model::Sequence> sequences;
  std::vector<float> weights, answers;
  for (std::int64_t tokens = 0; tokens < options.batch_tokens;) {
    samples.push_back(form.sample(documents.next()));
    const Sample& sample = *samples.back();
    const auto size = static_cast<std::int64_t>(sample.tokens.size());
    sequences.push_back({sample.tokens, options.model.encoder_decoder() ? sample.first_label : 1});
    for (std::int64_t i = sequences.back().first_label; i < size; ++i) {
      answers.push_back(i >= sample.first_label ? 1.0F : 0.0F);
      weights.push_back(i >= sample.first_label ? 1.0F : static_cast<float>(options.prompt_weight));
    }
    tokens += size - 1;
  }
  return {model::pack(sequences), at::tensor(weights), at::tensor(answers)};
}

double rate_factor(const PretrainOptions& options, std::int64_t step) {
  const double warm =
      options.warmup_steps > 0 ? static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps) : 1.0;
  const double left = 1.0 - static_cast<double>(step) / static_cast<double>(options.steps);
  const double decay = options.decay_ratio > 0 ? left / options.decay_ratio : 1.0;
  return std::min({1.0, warm, decay});
}

/// Writes the tokenizer to the model's directory and reads it from there, as a run will.
std::unique_ptr<text::Tokenizer> make_tokenizer(const PretrainOptions& options) {
  std::filesystem::create_directories(options.output);
  if (options.vocabulary == 0) {
    write_file_atomically(options.output / "tokenizer_config.json", text::ByteTokenizer::config_json());
  } else {
    constexpr std::size_t kGenerated = 5000;  // their words are few
    Documents documents(options.text);
    std::vector<std::string> texts;
    while (texts.size() < documents.count().value_or(kGenerated)) {
      const auto [prompt, text] = documents.next();
      texts.push_back(prompt + text);
    }
    write_learnt_tokenizer(options.output, texts, options.vocabulary, options.model.encoder_decoder());
  }
  return text::load_tokenizer(options.output);
}

/// The model's configuration with what the tokenizer decides.
model::TransformerConfig with_tokens(model::TransformerConfig config, const text::Tokenizer& tokenizer) {
  config.vocab_size = tokenizer.vocab_size();
  config.bos_token_id = tokenizer.bos();
  if (const auto eos = tokenizer.eos()) config.eos_token_ids = {*eos};
  config.pad_token_id = tokenizer.pad();
  config.decoder_start_token_id = tokenizer.pad().value_or(0);
  return config;
}

/// Norms are not decayed, matrices are.
std::vector<OptimizerSegment> decay_segments(const AdapterBank& bank, double weight_decay) {
  std::vector<OptimizerSegment> segments;
  for (const ParameterView& view : bank.views())
    segments.push_back({view.offset, view.size(), 1.0, view.shape.size() > 1 ? weight_decay : 0.0});
  return segments;
}
}  // namespace

PretrainOptions read_pretrain_options(const config::Node& resolved) {
  const config::Node checked = config::check(resolved, pretrain_specs(), "");
  const config::Section s(checked);
  PretrainOptions o;
  o.output = s.text("output");
  o.dtype = s.text("dtype");
  o.seed = static_cast<std::uint64_t>(s.int64("seed"));
  o.vocabulary = s.int64("vocabulary");
  o.steps = s.int64("steps");
  o.batch_tokens = s.int64("batch_tokens");
  o.max_length = s.int64("max_length");
  o.prompt_weight = s.real("prompt_weight");
  o.learning_rate = s.real("learning_rate");
  o.warmup_steps = s.int64("warmup_steps");
  o.decay_ratio = s.real("decay_ratio");
  o.weight_decay = s.real("weight_decay");
  o.beta1 = s.real("beta1");
  o.beta2 = s.real("beta2");
  o.clip = s.real("clip");
  const config::Section m = s.section("model");
  o.model.hidden_size = m.int64("hidden_size");
  o.model.intermediate_size = m.int64("intermediate_size");
  o.model.num_hidden_layers = m.int64("num_hidden_layers");
  o.model.num_decoder_layers = m.int64("num_decoder_layers");
  o.model.num_attention_heads = m.int64("num_attention_heads");
  o.model.num_key_value_heads = m.int64("num_key_value_heads");
  o.model.head_dim = m.int64("head_dim");
  o.model.rope_theta = m.real("rope_theta");
  o.model.rms_norm_eps = m.real("rms_norm_eps");
  o.model.tie_word_embeddings = m.flag("tie_word_embeddings");
  o.model.max_position_embeddings = o.max_length;
  if (o.model.encoder_decoder()) {
    o.model.model_type = "t5";
    o.model.hidden_act = "gelu_tanh";  // as T5 v1.1 has it
    o.model.scale_decoder_outputs = o.model.tie_word_embeddings;
  }
  const config::Section t = s.section("text");
  o.text.kind = t.text("kind");
  o.text.seed = static_cast<std::uint64_t>(t.int64("seed"));
  for (const auto& file : t.texts("files")) o.text.files.emplace_back(file);
  if (o.text.files.empty() == (o.text.kind == "files"))
    t.fail("files", fmt::format("has {} names, but text.kind is {}", o.text.files.size(), o.text.kind));
  o.text.answers = t.flag("answers");
  return o;
}

double pretrain(const PretrainOptions& options) {
  const auto tokenizer = make_tokenizer(options);
  const model::TransformerConfig config = with_tokens(options.model, *tokenizer);
  model::check_config(config, "model");
  RandomStream init(options.seed, "pretrain/weights");
  const std::shared_ptr<model::Transformer> model = model::Transformer::random(config, c10::ScalarType::Float, init);
  AdapterBank bank(model);
  bank.set_trainable({bank.create_full("model")});
  TrainOptions adam{.weight_decay = options.weight_decay, .beta1 = options.beta1, .beta2 = options.beta2};
  AdamW optimizer(adam);
  optimizer.reset(bank.values().numel());
  const auto segments = decay_segments(bank, options.weight_decay);
  Documents documents(options.text);
  DocumentForm form(*tokenizer, config.encoder_decoder(), options.max_length, options.text.seed);
  spdlog::info("{} parameters, {} steps of {} tokens", model->parameter_count(), options.steps, options.batch_tokens);
  ProgressBar bar("pretrain", options.steps);
  std::vector<double> recent;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    const WeightedBatch batch = weighted_batch(documents, form, options);
    model::ForwardRequest request;
    request.batch = &batch.packed;
    request.want_losses = true;
    const at::Tensor losses = model->forward(request).losses;
    at::Tensor gradient = bank.gradient(), values = bank.values();
    gradient.zero_();
    ((losses * batch.weights).sum() / batch.weights.sum()).backward();
    const double answer_loss = ((losses.detach() * batch.is_answer).sum() / batch.is_answer.sum()).item<double>();
    if (!std::isfinite(answer_loss))
      throw Error(fmt::format("the loss is {} at step {}; lower learning_rate", answer_loss, step + 1));
    clip_gradient(gradient, options.clip);
    optimizer.step(values, gradient, options.learning_rate * rate_factor(options, step), segments);
    recent.push_back(answer_loss);
    if (recent.size() > 100) recent.erase(recent.begin());
    bar.update(step + 1, fmt::format("answer loss {:.3f}", answer_loss));
  }
  model->save(options.output, scalar_type(options.dtype));
  double sum = 0;
  for (const double loss : recent) sum += loss;
  return sum / static_cast<double>(recent.size());
}

}  // namespace mneme::run
