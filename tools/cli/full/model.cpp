#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/algorithm/string.hpp>
#include <boost/program_options.hpp>
#include <iostream>

#include "core/adapter/bank.h"
#include "core/adapter/peft.h"
#include "core/base/error.h"
#include "core/model/generate.h"
#include "core/model/memory_estimate.h"
#include "core/run/build.h"
#include "tools/cli/full/commands.h"

namespace mneme::cli {

namespace {
namespace po = boost::program_options;

constexpr const char* kHelp = R"(usage: mneme model show DIR [options]
       mneme model check DIR --ids 5,17,3 [--new 20] [--adapter PEFT] [--dtype fp32|bf16]
       mneme model merge DIR PEFT OUT [--dtype fp32|bf16]

show    family, parameters, shapes, and the memory that training and answering take; reads config.json alone
check   reads the weights, prints the likeliest next tokens of the ids and a greedy continuation
merge   writes the model with a PEFT adapter's update added to its weights, as a model directory
)";

struct Settings {
  std::vector<std::string> names;
  std::string ids, adapter, dtype = "fp32", targets = "all-linear";
  std::int64_t new_tokens = 20, batch = 16, prompt = 256, answer = 16, rank = 8;
  bool recompute = false, help = false;
};

/// \param s where values go
po::options_description option_table(Settings& s) {
  po::options_description options("options");
  options.add_options()("help,h", po::bool_switch(&s.help));
  options.add_options()("ids", po::value(&s.ids), "check: token ids of a prompt, separated by commas");
  options.add_options()("new", po::value(&s.new_tokens), "check: tokens to generate");
  options.add_options()("adapter", po::value(&s.adapter), "check: PEFT directory");
  options.add_options()("dtype", po::value(&s.dtype), "fp32 or bf16");
  options.add_options()("batch", po::value(&s.batch), "show: sequences of a micro-batch");
  options.add_options()("prompt", po::value(&s.prompt), "show: mean tokens of a prompt");
  options.add_options()("answer", po::value(&s.answer), "show: mean tokens of an answer");
  options.add_options()("targets", po::value(&s.targets), "show: linears with LoRA, separated by commas");
  options.add_options()("rank", po::value(&s.rank), "show: rank of LoRA");
  options.add_options()("recompute", po::bool_switch(&s.recompute), "show: activations are computed again");
  return options;
}

Settings parse(const Arguments& arguments) {
  Settings s;
  po::options_description options = option_table(s);
  options.add_options()("names", po::value(&s.names));
  po::positional_options_description positional;
  positional.add("names", -1);
  try {
    po::variables_map map;
    po::store(po::command_line_parser(arguments).options(options).positional(positional).run(), map);
    po::notify(map);
  } catch (const po::error& e) {
    throw UsageError(e.what());
  }
  if (s.dtype != "fp32" && s.dtype != "bf16") throw UsageError("--dtype takes fp32 or bf16");
  return s;
}

std::filesystem::path directory_of(const std::string& name) { return run::model_directory({.path = name}); }

c10::ScalarType dtype_of(const Settings& s) {
  return s.dtype == "bf16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
}

model::TrainingCase training_case(const model::TransformerConfig& config, const Settings& s) {
  LoraOptions lora{.rank = s.rank};
  lora.targets.clear();
  boost::split(lora.targets, s.targets, boost::is_any_of(","));
  model::TrainingCase step{.dtype = dtype_of(s), .labels = s.batch * s.answer, .recompute = s.recompute};
  step.rows = s.batch * (config.encoder_decoder() ? s.answer : s.prompt + s.answer);
  step.source_rows = config.encoder_decoder() ? s.batch * s.prompt : 0;
  const auto linears = model::linears_of(config);
  for (const LoraTarget& target : lora_targets(lora, linears)) {
    const model::LinearInfo& linear = linears[static_cast<std::size_t>(target.linear)];
    step.adapted.push_back(target.linear);
    step.trained += target.rank * (linear.in + linear.out);
  }
  return step;
}

void print_estimate(const std::string& what, const model::MemoryEstimate& e) {
  using model::bytes_text;
  fmt::print("{:<24}{:>9}  weights {}, packed {}, trained {}, activations {}, transient {}, program {}\n", what,
             bytes_text(e.total()), bytes_text(e.weights), bytes_text(e.packed), bytes_text(e.training),
             bytes_text(e.activations), bytes_text(e.transient), bytes_text(e.program));
}

int show(const Settings& s) {
  const model::TransformerConfig c = model::read_config(directory_of(s.names.at(1)) / "config.json");
  fmt::print("family      {}{}\n", c.model_type, c.encoder_decoder() ? ", encoder and decoder" : ", decoder");
  fmt::print("parameters  {} ({} in bf16, {} in fp32)\n", model::parameter_count(c),
             model::bytes_text(2.0 * static_cast<double>(model::parameter_count(c))),
             model::bytes_text(4.0 * static_cast<double>(model::parameter_count(c))));
  fmt::print("shape       {} layers, width {}, feed-forward {} ({}{}), {} heads of {}, {} key-value heads, {} tokens\n",
             c.total_layers(), c.hidden_size, c.intermediate_size, c.gated_mlp ? "gated " : "", c.hidden_act,
             c.num_attention_heads, c.head_dim, c.num_key_value_heads, c.vocab_size);
  fmt::print("\nlinears of layer 0 (all-linear adapts every layer's)\n");
  for (const model::LinearInfo& linear : model::linears_of(c))
    if (linear.layer == 0) fmt::print("  {:<50} {} -> {}\n", linear.name, linear.in, linear.out);
  const model::TrainingCase step = training_case(c, s);
  fmt::print("\npeak memory, {}, {} sequences of {} + {} tokens\n", s.dtype, s.batch, s.prompt, s.answer);
  print_estimate(fmt::format("LoRA {} of rank {}", s.targets, s.rank), model::estimate_memory(c, step));
  model::TrainingCase answering = step;
  answering.adapted.clear();
  answering.trained = 0;
  answering.labels = s.batch;
  print_estimate("answering", model::estimate_memory(c, answering));
  return kSuccess;
}

std::vector<std::int32_t> read_ids(const std::string& text, std::int64_t vocabulary) {
  std::vector<std::int32_t> ids;
  std::vector<std::string> parts;
  boost::split(parts, text, boost::is_any_of(", "), boost::token_compress_on);
  for (const std::string& part : parts) {
    char* end = nullptr;
    const long id = std::strtol(part.c_str(), &end, 10);
    if (part.empty() || *end != '\0' || id < 0 || id >= vocabulary)
      throw UsageError(fmt::format("--ids: '{}' is no token id of a vocabulary of {}", part, vocabulary));
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

int check(const Settings& s) {
  const std::shared_ptr<model::Transformer> model = model::Transformer::load(directory_of(s.names.at(1)), dtype_of(s));
  AdapterBank bank(model);
  model::ActiveAdapters adapters;
  if (!s.adapter.empty()) adapters = bank.resolve(with_adapters({read_peft(s.adapter, bank, *model, "adapter")}));
  const std::vector<std::vector<std::int32_t>> prompts = {read_ids(s.ids, model->config().vocab_size)};
  const model::PackedBatch batch = model::pack_prompts(prompts);
  const c10::NoGradGuard no_grad;
  const at::Tensor logits =
      model->forward({.batch = &batch, .adapters = &adapters, .rows = model::RowsNeeded::kLast, .want_logits = true})
          .logits.to(at::kFloat);
  const auto [values, tokens] = at::topk(at::log_softmax(logits, 1)[0], std::min<std::int64_t>(5, logits.size(1)));
  for (std::int64_t i = 0; i < values.numel(); ++i)
    fmt::print("{:>8}  logit {:>12.6f}  log-probability {:.6f}\n", tokens[i].item<std::int64_t>(),
               logits[0][tokens[i]].item<double>(), values[i].item<double>());
  const std::vector<model::GenerateJob> jobs = {{.prompt = prompts[0], .max_new_tokens = s.new_tokens}};
  fmt::print("{}\n", fmt::join(model::generate(*model, adapters, jobs, {})[0], ","));
  return kSuccess;
}

int merge(const Settings& s) {
  const std::shared_ptr<model::Transformer> model = model::Transformer::load(directory_of(s.names.at(1)), dtype_of(s));
  AdapterBank bank(model);
  const AdapterId adapter = read_peft(s.names.at(2), bank, *model, "adapter");
  model->merged(bank.resolve(with_adapters({adapter})))->save(s.names.at(3), dtype_of(s));
  fmt::print("{}\n", s.names.at(3));
  return kSuccess;
}
}  // namespace

Command model_command() {
  return {"model", "show DIR|check DIR|merge DIR ADAPTER OUT", "a model directory: sizes and memory, a trial, merging",
          [](const Arguments& arguments) {
            const Settings s = parse(arguments);
            if (s.help || s.names.empty()) {
              Settings unused;
              std::cout << kHelp << "\n" << option_table(unused);
              return kSuccess;
            }
            if (s.names[0] == "show" && s.names.size() == 2) return show(s);
            if (s.names[0] == "check" && s.names.size() == 2 && !s.ids.empty()) return check(s);
            if (s.names[0] == "merge" && s.names.size() == 4) return merge(s);
            throw UsageError("model takes show DIR, check DIR --ids 1,2,3 or merge DIR PEFT OUT; see --help");
          }};
}

}  // namespace mneme::cli
