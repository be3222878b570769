#include "core/run/pretrain.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/adapter/bank.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/config/check.h"
#include "core/config/section.h"
#include "core/data/pretrain_text.h"
#include "core/strategy/sample.h"
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
      {"model.intermediate_size", kInt, "???", ">= 1", "width of the SwiGLU"},
      {"model.num_hidden_layers", kInt, "???", ">= 1", "layers"},
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

/// Endless documents as samples.
class Documents {
 public:
  Documents(const PretrainText& options, std::int64_t max_length)
      : max_length_(max_length), order_(options.seed, "pretrain/order"), generator_(options.seed) {
    for (const auto& file : options.files) read(file, options.answers);
    MNEME_CHECK(options.kind == "generated" || !rows_.empty(), "text.files: the {} file(s) hold no document",
                options.files.size());
  }

  SamplePtr next() {
    if (rows_.empty()) {
      const auto document = generator_.next();
      return sample(document.prompt, document.answer);
    }
    if (next_ == rows_.size()) order_.shuffle(rows_), next_ = 0;
    const auto& [prompt, answer] = rows_[next_++];
    return sample(prompt, answer);
  }

 private:
  void read(const std::filesystem::path& file, bool answers) {
    const std::string text = read_file(file);
    if (file.extension() == ".json") {
      const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (!json.is_array())
        throw DataError(fmt::format("{}: expected a JSON list of rows with prompt and answer", file.string()));
      for (std::size_t i = 0; i < json.size(); ++i) {
        if (!json[i].is_object() || !json[i].contains("prompt") || !json[i].contains("answer"))
          throw DataError(fmt::format("{}: row {} has no prompt and answer", file.string(), i));
        auto prompt = json[i]["prompt"].get<std::string>();
        if (answers)
          rows_.emplace_back(std::move(prompt), json[i]["answer"].get<std::string>());
        else
          rows_.emplace_back("", std::move(prompt));  // a text like any other
      }
    } else {
      for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = std::min(text.find("\n\n", start), text.size());
        if (end > start) rows_.emplace_back("", text.substr(start, end - start));
        start = end + 2;
      }
    }
    next_ = rows_.size();
  }

  SamplePtr sample(const std::string& prompt, const std::string& answer) const {
    Sample made;
    made.tokens.push_back(text::ByteTokenizer::kBos);
    for (const char c : prompt + answer) made.tokens.push_back(static_cast<unsigned char>(c));
    made.tokens.push_back(text::ByteTokenizer::kEos);
    if (static_cast<std::int64_t>(made.tokens.size()) > max_length_)
      made.tokens.resize(static_cast<std::size_t>(max_length_));
    // first_label is where the answer starts; the prompt's tokens are labels too, with their own weight.
    made.first_label = std::min<std::int64_t>(static_cast<std::int64_t>(prompt.size()) + 1,
                                              static_cast<std::int64_t>(made.tokens.size()));
    return std::make_shared<const Sample>(std::move(made));
  }

  std::int64_t max_length_;
  RandomStream order_;
  data::PretrainText generator_;
  std::vector<std::pair<std::string, std::string>> rows_;
  std::size_t next_ = 0;
};

/// Documents of one step, every token but the first a label, and the labels' weights [M].
struct WeightedBatch {
  model::PackedBatch packed;
  at::Tensor weights, is_answer;
};

WeightedBatch weighted_batch(Documents& documents, const PretrainOptions& options) {
  std::vector<SamplePtr> samples;
  std::vector<float> weights, answers;
  for (std::int64_t tokens = 0; tokens < options.batch_tokens;) {
    samples.push_back(documents.next());
    const Sample& sample = *samples.back();
    const auto size = static_cast<std::int64_t>(sample.tokens.size());
    for (std::int64_t i = 1; i < size; ++i) {
      answers.push_back(i >= sample.first_label ? 1.0F : 0.0F);
      weights.push_back(i >= sample.first_label ? 1.0F : static_cast<float>(options.prompt_weight));
    }
    tokens += size - 1;
  }
  std::vector<model::Sequence> sequences;
  for (const auto& sample : samples) sequences.push_back({sample->tokens, 1});
  return {model::pack(sequences), at::tensor(weights), at::tensor(answers)};
}

double rate_factor(const PretrainOptions& options, std::int64_t step) {
  const double warm =
      options.warmup_steps > 0 ? static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps) : 1.0;
  const double left = 1.0 - static_cast<double>(step) / static_cast<double>(options.steps);
  const double decay = options.decay_ratio > 0 ? left / options.decay_ratio : 1.0;
  return std::min({1.0, warm, decay});
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
  o.model.vocab_size = text::ByteTokenizer::kVocabSize;
  o.model.hidden_size = m.int64("hidden_size");
  o.model.intermediate_size = m.int64("intermediate_size");
  o.model.num_hidden_layers = m.int64("num_hidden_layers");
  o.model.num_attention_heads = m.int64("num_attention_heads");
  o.model.num_key_value_heads = m.int64("num_key_value_heads");
  o.model.head_dim = m.int64("head_dim");
  o.model.rope_theta = m.real("rope_theta");
  o.model.rms_norm_eps = m.real("rms_norm_eps");
  o.model.tie_word_embeddings = m.flag("tie_word_embeddings");
  o.model.max_position_embeddings = o.max_length;
  o.model.bos_token_id = text::ByteTokenizer::kBos;
  o.model.eos_token_id = text::ByteTokenizer::kEos;
  o.model.pad_token_id = text::ByteTokenizer::kPad;
  const config::Section t = s.section("text");
  o.text.kind = t.text("kind");
  o.text.seed = static_cast<std::uint64_t>(t.int64("seed"));
  for (const auto& file : t.texts("files")) o.text.files.emplace_back(file);
  o.text.answers = t.flag("answers");
  return o;
}

double pretrain(const PretrainOptions& options) {
  RandomStream init(options.seed, "pretrain/weights");
  const std::shared_ptr<model::Transformer> model =
      model::Transformer::random(options.model, c10::ScalarType::Float, init);
  AdapterBank bank(model);
  bank.set_trainable({bank.create_full("model")});
  TrainOptions adam{.weight_decay = options.weight_decay, .beta1 = options.beta1, .beta2 = options.beta2};
  AdamW optimizer(adam);
  optimizer.reset(bank.values().numel());
  const auto segments = decay_segments(bank, options.weight_decay);
  Documents documents(options.text, options.max_length);
  spdlog::info("{} parameters, {} steps of {} tokens", model->parameter_count(), options.steps, options.batch_tokens);
  ProgressBar bar("pretrain", options.steps);
  std::vector<double> recent;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    const WeightedBatch batch = weighted_batch(documents, options);
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
  std::filesystem::create_directories(options.output);
  model->save(options.output, options.dtype == "bf16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float);
  write_file_atomically(options.output / "tokenizer_config.json", text::ByteTokenizer::config_json());
  double sum = 0;
  for (const double loss : recent) sum += loss;
  return sum / static_cast<double>(recent.size());
}

}  // namespace mneme::run
