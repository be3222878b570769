#include "core/run/options.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/check.h"
#include "core/config/section.h"
#include "core/model/device.h"

namespace mneme::run {

namespace {
using enum ParamType;

const ParamSpecs& model_specs() {
  static const ParamSpecs specs = {
      {"path", kText, "???", "",
       "model directory with config.json and safetensors, or the name of a model that Mneme brings (nano)"},
      {"dtype", kChoice, "fp32", "fp32|bf16", "type of the frozen weights"},
      {"device", kText, "cpu", "", "where the model runs: cpu, cuda or cuda:N"},
      {"matmul_precision", kChoice, "highest", "highest|high",
       "of fp32 products with frozen weights; high: 16 of 24 bits on CPUs with AMX, much faster"}};
  return specs;
}

const ParamSpecs& adapter_specs() {
  static const ParamSpecs specs = {
      {"kind", kChoice, "lora", "lora|full", "low-rank adapters on a frozen model, or all its weights"},
      {"rank", kInt, "8", ">= 1", "rank of the update"},
      {"alpha", kReal, "16", "> 0", "the update is scaled by alpha / rank"},
      {"dropout", kReal, "0", "[0, 1)", "on the adapter's input, in training"},
      {"targets", kTextList, "[q_proj, v_proj]", "",
       "linears by the end of their path, a regular expression for whole paths, or all-linear"},
      {"rank_stabilised", kBool, "false", "", "whether the update is scaled by alpha / sqrt(rank) instead"},
      {"peft", kText, "\"\"", "", "PEFT directory whose settings and values adapters start with instead"},
      {"first_layer", kInt, "0", ">= 0", "no adapter below this layer"}};
  return specs;
}

const ParamSpecs& train_specs() {
  static const ParamSpecs specs = {
      {"epochs", kInt, "1", ">= 1", "passes over a task's samples"},
      {"epochs_per_task", kIntList, "[]", ">= 1",
       "epochs by position in the stream; empty: each task's own (stream.tasks.<name>.epochs), else train.epochs"},
      {"batch_size", kInt, "16", ">= 1", "sequences per optimiser step"},
      {"accumulation", kInt, "1", ">= 1", "micro-batches that a step is cut into; never changes the result"},
      {"max_steps", kInt, "0", ">= 0", "optimiser steps per phase of a task at most; 0: no limit"},
      {"learning_rate", kReal, "1e-4", "> 0", "of AdamW"},
      {"schedule", kChoice, "constant", "constant|linear|cosine",
       "of the learning rate after warm-up, anew for each task"},
      {"warmup_steps", kInt, "0", ">= 0", "steps of linear warm-up"},
      {"warmup_ratio", kReal, "0", "[0, 1]", "used where warmup_steps is 0: part of the task's steps"},
      {"weight_decay", kReal, "0", ">= 0", "decoupled"},
      {"beta1", kReal, "0.9", "[0, 1)", "of AdamW"},
      {"beta2", kReal, "0.999", "[0, 1)", "of AdamW"},
      {"epsilon", kReal, "1e-8", "> 0", "of AdamW"},
      {"clip", kReal, "1.0", ">= 0", "largest 2-norm of a step's gradient; 0: no clipping"},
      {"optimizer_reset", kChoice, "per_task", "per_task|never", "whether AdamW's moments start anew with each task"},
      {"recompute", kChoice, "auto", "auto|always|never",
       "activations are computed again for the gradient: less memory, more time; auto: where the memory asks for it"},
      {"max_length", kInt, "512", ">= 8",
       "tokens of prompt and answer together; longer prompts lose text of their body"},
      {"max_answer", kInt, "0", ">= 0",
       "tokens of an answer that are learnt; longer ones are cut, which is logged; 0: never cut"}};
  return specs;
}

const ParamSpecs& eval_specs() {
  static const ParamSpecs specs = {
      {"split", kChoice, "test", "test|eval", "which rows are answered"},
      {"protocol", kChoice, "generate", "generate|labels",
       "greedy text, or the likeliest label where a task has labels"},
      {"rows", kChoice, "all", "all|lower|last", "cells of R: all, tasks seen so far, or row 0 and the last one"},
      {"decode_slots", kInt, "32", ">= 1", "sequences decoded at once; never changes the result"},
      {"beams", kInt, "1", ">= 1", "beams of beam search; 1: none"},
      {"length_penalty", kReal, "1", "", "of beam search: scores are divided by length^this"},
      {"repetition_penalty", kReal, "1", "> 0", "above 1 tokens that were read already become less likely"},
      {"temperature", kReal, "0", ">= 0", "above 0 tokens are drawn instead of the likeliest taken"},
      {"top_k", kInt, "0", ">= 0", "tokens are drawn from the k likeliest; 0: from all"},
      {"top_p", kReal, "1", "(0, 1]", "tokens are drawn from the likeliest that have this probability together"},
      {"stop", kTextList, "[]", "", "texts that end an answer; they are cut off"}};
  return specs;
}

const ParamSpecs& save_specs() {
  static const ParamSpecs specs = {
      {"adapters", kChoice, "last", "last|all|none", "after which tasks the adapters are written as PEFT directories"},
      {"checkpoint", kBool, "true", "", "whether a killed run can go on after its last finished task"}};
  return specs;
}

ModelOptions read_model(const config::Section& s) {
  ModelOptions options;
  options.path = s.text("path");
  options.dtype = s.text("dtype");
  options.device = s.text("device");
  options.matmul_precision = s.text("matmul_precision");
  if (!model::is_device_name(options.device))
    s.fail("device", fmt::format("is '{}'; expected cpu, cuda or cuda:N", options.device));
  return options;
}

AdapterOptions read_adapter(const config::Section& s) {
  AdapterOptions options;
  options.kind = s.text("kind");
  options.lora.rank = s.int64("rank");
  options.lora.alpha = s.real("alpha");
  options.lora.dropout = s.real("dropout");
  options.lora.targets = s.texts("targets");
  options.lora.first_layer = s.int64("first_layer");
  options.lora.rank_stabilised = s.flag("rank_stabilised");
  options.peft = s.text("peft");
  return options;
}

EvalOptions read_eval(const config::Section& s) {
  EvalOptions o;
  o.split = s.text("split");
  o.protocol = s.text("protocol");
  o.rows = s.text("rows");
  o.decode_slots = s.int64("decode_slots");
  o.stop = s.texts("stop");
  for (const std::string& stop : o.stop)
    if (stop.empty()) s.fail("stop", "holds an empty text, which would end every answer at once");
  return o;
}

model::GenerateOptions read_generation(const config::Section& s, std::uint64_t seed) {
  model::GenerateOptions o;
  o.beam = {.beams = s.int64("beams"), .length_penalty = s.real("length_penalty")};
  o.repetition_penalty = s.real("repetition_penalty");
  if (s.real("temperature") > 0)
    o.sampling = model::Sampling{
        .temperature = s.real("temperature"), .top_k = s.int64("top_k"), .top_p = s.real("top_p"), .seed = seed};
  if (o.sampling && o.beam.beams > 1) s.fail("beams", "must be 1 where temperature is above 0");
  return o;
}

TrainOptions read_train(const config::Section& s) {
  TrainOptions o;
  o.epochs = s.int64("epochs");
  o.epochs_per_task = s.int64s("epochs_per_task");
  o.batch_size = s.int64("batch_size");
  o.accumulation = s.int64("accumulation");
  o.max_steps = s.int64("max_steps");
  o.learning_rate = s.real("learning_rate");
  o.schedule = s.text("schedule");
  o.warmup_steps = s.int64("warmup_steps");
  o.warmup_ratio = s.real("warmup_ratio");
  o.weight_decay = s.real("weight_decay");
  o.beta1 = s.real("beta1");
  o.beta2 = s.real("beta2");
  o.epsilon = s.real("epsilon");
  o.clip = s.real("clip");
  o.optimizer_reset = s.text("optimizer_reset");
  return o;
}

ParamValue to_value(const ParamSpec& spec, const config::Node& node) {
  if (node.is_null()) return std::monostate{};
  const auto list = [&node](auto get) {
    std::vector<std::decay_t<decltype(get(node))>> values;
    for (const auto& item : node.items()) values.push_back(get(item));
    return values;
  };
  switch (spec.type) {
    case kBool:
      return node.as_bool();
    case kInt:
      return node.as_int();
    case kReal:
      return node.as_float();
    case kText:
    case kChoice:
      return node.as_string();
    case kIntList:
      return list([](const config::Node& n) { return n.as_int(); });
    case kRealList:
      return list([](const config::Node& n) { return n.as_float(); });
    case kTextList:
      return list([](const config::Node& n) { return n.as_string(); });
  }
  throw Error("unknown parameter type");
}
}  // namespace

c10::ScalarType scalar_type(const std::string& dtype) {
  return dtype == "bf16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
}

model::MatmulPrecision matmul_precision(const std::string& name) {
  return name == "high" ? model::MatmulPrecision::kHigh : model::MatmulPrecision::kHighest;
}

RunOptions read_options(const config::Node& resolved) {
  const config::Section root(resolved);
  // A section that is not there is all defaults. What check() lets through holds known keys alone.
  const auto checked = [&root](const char* key, const ParamSpecs& specs) {
    const config::Node& node = root.node(key);
    return config::check(node.is_null() ? config::Node::map() : node, specs, key);
  };
  const config::Node model = checked("model", model_specs()), adapter = checked("adapter", adapter_specs()),
                     train = checked("train", train_specs()), eval = checked("eval", eval_specs()),
                     save = checked("save", save_specs());
  RunOptions options;
  const std::int64_t seed = root.int64("seed");
  if (seed < 0) root.fail("seed", fmt::format("is {}; expected at least 0", seed));
  options.seed = static_cast<std::uint64_t>(seed);
  options.model = read_model(config::Section(model, "model"));
  options.adapter = read_adapter(config::Section(adapter, "adapter"));
  options.train = read_train(config::Section(train, "train"));
  options.max_length = train.at("max_length").as_int();
  options.max_answer = train.at("max_answer").as_int();
  options.recompute = train.at("recompute").as_string();
  options.eval = read_eval(config::Section(eval, "eval"));
  options.generation = read_generation(config::Section(eval, "eval"), options.seed);
  options.eval.max_length = options.max_length;
  options.save.adapters = save.at("adapters").as_string();
  options.save.checkpoint = save.at("checkpoint").as_bool();
  options.stream_node = root.node("stream");
  options.strategy_node = root.node("strategy");
  if (!options.strategy_node.is_map()) root.fail("strategy", "must be a group with a name, for instance strategy=seq");
  options.strategy = options.strategy_node.at("name").as_string();
  // Read by the launcher, by interpolations and by people.
  for (const char* key : {"launcher", "data", "name"}) root.node(key);
  root.finish();
  options.cache = cache_directory().string();
  options.eval.cache = options.cache;
  return options;
}

Params strategy_params(const ParamSpecs& specs, const config::Node& strategy_node) {
  config::Node settings = strategy_node;
  settings.erase("name");
  const config::Node checked = config::check(settings, specs, "strategy");
  std::map<std::string, ParamValue> values;
  for (const ParamSpec& spec : specs) values[spec.key] = to_value(spec, checked.at(spec.key));
  return Params(specs, std::move(values));
}

}  // namespace mneme::run
