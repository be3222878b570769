#include "core/run/options.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/schema.h"

namespace mneme::run {

namespace {
using enum ParamType;

const ParamSpecs& model_specs() {
  static const ParamSpecs specs = {
      {"path", kText, "???", "", "model directory with config.json and safetensors, or the name of a model that Mneme brings (nano)"},
      {"dtype", kChoice, "fp32", "fp32|bf16", "type of the frozen weights"}};
  return specs;
}

const ParamSpecs& adapter_specs() {
  static const ParamSpecs specs = {
      {"kind", kChoice, "lora", "lora|full", "low-rank adapters on a frozen model, or all its weights"},
      {"rank", kInt, "8", ">= 1", "rank of the update"},
      {"alpha", kReal, "16", "> 0", "the update is scaled by alpha / rank"},
      {"dropout", kReal, "0", "[0, 1)", "on the adapter's input, in training"},
      {"targets", kTextList, "[q_proj, v_proj]", "", "linears by the last part of their name, or all-linear"},
      {"first_layer", kInt, "0", ">= 0", "no adapter below this layer"}};
  return specs;
}

const ParamSpecs& train_specs() {
  static const ParamSpecs specs = {
      {"epochs", kInt, "1", ">= 1", "passes over a task's samples"},
      {"epochs_per_task", kIntList, "[]", "", "epochs by position in the stream; empty: train.epochs for all"},
      {"batch_size", kInt, "16", ">= 1", "sequences per optimiser step"},
      {"accumulation", kInt, "1", ">= 1", "micro-batches that a step is cut into; never changes the result"},
      {"max_steps", kInt, "0", ">= 0", "optimiser steps per task at most; 0: no limit"},
      {"learning_rate", kReal, "1e-4", "> 0", "of AdamW"},
      {"schedule", kChoice, "constant", "constant|linear|cosine", "of the learning rate after warm-up, anew for each task"},
      {"warmup_steps", kInt, "0", ">= 0", "steps of linear warm-up"},
      {"warmup_ratio", kReal, "0", "[0, 1]", "used where warmup_steps is 0: part of the task's steps"},
      {"weight_decay", kReal, "0", ">= 0", "decoupled"},
      {"beta1", kReal, "0.9", "[0, 1)", "of AdamW"},
      {"beta2", kReal, "0.999", "[0, 1)", "of AdamW"},
      {"epsilon", kReal, "1e-8", "> 0", "of AdamW"},
      {"clip", kReal, "1.0", ">= 0", "largest 2-norm of a step's gradient; 0: no clipping"},
      {"optimizer_reset", kChoice, "per_task", "per_task|never", "whether AdamW's moments start anew with each task"},
      {"max_length", kInt, "512", ">= 8", "tokens of prompt and answer together; longer prompts lose text of their body"}};
  return specs;
}

const ParamSpecs& eval_specs() {
  static const ParamSpecs specs = {
      {"split", kChoice, "test", "test|eval", "which rows are answered"},
      {"protocol", kChoice, "generate", "generate|labels", "greedy text, or the likeliest label where a task has labels"},
      {"rows", kChoice, "all", "all|lower|last", "cells of R: all, tasks seen so far, or row 0 and the last one"},
      {"decode_slots", kInt, "32", ">= 1", "sequences decoded at once; never changes the result"}};
  return specs;
}

const ParamSpecs& save_specs() {
  static const ParamSpecs specs = {
      {"adapters", kChoice, "last", "last|all|none", "after which tasks the adapters are written as PEFT directories"},
      {"checkpoint", kBool, "true", "", "whether a killed run can go on after its last finished task"}};
  return specs;
}

/// The section's map, checked and completed; a missing section is all defaults.
config::Section section(const config::Node& root, const std::string& key, const ParamSpecs& specs) {
  const config::Node* node = root.find(key);
  return config::Section(config::check(node == nullptr ? config::Node::map() : *node, specs, key), key);
}

ModelOptions read_model(config::Section s) {
  ModelOptions options;
  options.path = s.text("path");
  options.dtype = s.text("dtype");
  s.finish();
  return options;
}

AdapterOptions read_adapter(config::Section s) {
  AdapterOptions options;
  options.kind = s.text("kind");
  options.lora.rank = s.integer("rank");
  options.lora.alpha = s.real("alpha");
  options.lora.dropout = s.real("dropout");
  options.lora.targets = s.texts("targets");
  options.lora.first_layer = s.integer("first_layer");
  s.finish();
  return options;
}

TrainOptions read_train(config::Section& s) {
  TrainOptions o;
  o.epochs = s.integer("epochs");
  o.epochs_per_task = s.integers("epochs_per_task");
  o.batch_size = s.integer("batch_size");
  o.accumulation = s.integer("accumulation");
  o.max_steps = s.integer("max_steps");
  o.learning_rate = s.real("learning_rate");
  o.schedule = s.text("schedule");
  o.warmup_steps = s.integer("warmup_steps");
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
    case kBool: return node.as_bool();
    case kInt: return node.as_int();
    case kReal: return node.as_float();
    case kText:
    case kChoice: return node.as_string();
    case kIntList: return list([](const config::Node& n) { return n.as_int(); });
    case kRealList: return list([](const config::Node& n) { return n.as_float(); });
    case kTextList: return list([](const config::Node& n) { return n.as_string(); });
  }
  throw Error("unknown parameter type");
}
}  // namespace

RunOptions read_options(const config::Node& resolved) {
  config::Section root(resolved);
  RunOptions options;
  options.seed = static_cast<std::uint64_t>(root.integer("seed"));
  options.model = read_model(section(resolved, "model", model_specs()));
  options.adapter = read_adapter(section(resolved, "adapter", adapter_specs()));
  config::Section train = section(resolved, "train", train_specs());
  options.train = read_train(train);
  options.max_length = train.integer("max_length");
  train.finish();
  config::Section eval = section(resolved, "eval", eval_specs());
  options.eval.split = eval.text("split");
  options.eval.protocol = eval.text("protocol");
  options.eval.rows = eval.text("rows");
  options.eval.decode_slots = eval.integer("decode_slots");
  options.eval.max_length = options.max_length;
  eval.finish();
  config::Section save = section(resolved, "save", save_specs());
  options.save.adapters = save.text("adapters");
  options.save.checkpoint = save.flag("checkpoint");
  save.finish();
  options.stream_node = resolved.at("stream");
  options.strategy_node = resolved.at("strategy");
  options.strategy = options.strategy_node.at("name").as_string();
  for (const char* key : {"model", "adapter", "train", "eval", "save", "stream", "strategy"}) root.mark(key);
  // Read by the launcher, by interpolations and by people.
  for (const char* key : {"launcher", "data", "experiment"}) root.mark(key);
  root.finish();
  options.cache = (cache_directory() / "tokens").string();
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
