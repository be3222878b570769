#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <iostream>
#include <map>

#include "core/base/error.h"
#include "core/model/memory_estimate.h"
#include "core/run/memory.h"
#include "tools/cli/full/commands.h"
#include "tools/cli/full/model_tools.h"

namespace mneme::cli {

namespace {
namespace po = boost::program_options;

constexpr const char* kHelp = R"(usage: mneme model show DIR [options]
       mneme model logits DIR --ids 1,2,3 [--decoder-ids 0,7]
       mneme model generate DIR --prompt TEXT|--ids 1,2,3 [--max-new-tokens N]
       mneme model score DIR --prompt TEXT|--ids 1,2,3 --answers 'A|B'
       mneme model probe DIR --data FILE.jsonl --steps N --out DIR [--lr X]
       mneme model merge DIR ADAPTER OUT

show      family, parameters, shapes, and the memory that training and answering take; reads config.json alone
logits    the logits after each id, float32, a row each, as JSON; of an encoder-decoder after each of --decoder-ids
generate  greedy; prints {"ids": [..], "text": ".."}
score     log-probability of each answer, with its end, after the prompt
probe     for comparisons: N steps of AdamW on all rows of FILE at once, each line {"prompt", "answer"} or {"prompt_ids",
          "answer_ids"}; prints the losses, writes OUT/gradients (of the first step) and OUT/adapter (after the last)
          under their PEFT names
merge     writes the model with an adapter's update added to its weights, as a model directory with its tokenizer

All but show and merge take --adapter DIR, a PEFT directory. probe without one starts a LoRA of its own.
)";

/// \param s where values go
po::options_description option_table(ModelSettings& s) {
  po::options_description options("options");
  options.add_options()("help,h", po::bool_switch(&s.help));
  options.add_options()("ids", po::value(&s.ids), "token ids of a prompt, separated by commas");
  options.add_options()("decoder-ids", po::value(&s.decoder_ids),
                        "logits: the decoder's inputs, its start token first");
  options.add_options()("prompt", po::value(&s.prompt), "text of a prompt");
  options.add_options()("answers", po::value(&s.answers), "score: texts, separated by |");
  options.add_options()("max-new-tokens", po::value(&s.new_tokens), "generate: at most so many");
  options.add_options()("adapter", po::value(&s.adapter), "PEFT directory");
  options.add_options()("data", po::value(&s.data), "probe: rows");
  options.add_options()("steps", po::value(&s.steps), "probe: steps of AdamW");
  options.add_options()("lr", po::value(&s.learning_rate), "probe: learning rate");
  options.add_options()("out", po::value(&s.out), "probe: directory to write");
  options.add_options()("dtype", po::value(&s.dtype), "fp32 or bf16");
  options.add_options()("matmul-precision", po::value(&s.matmul_precision),
                        "of fp32 products with frozen weights: highest, or high for CPUs with AMX");
  options.add_options()("device", po::value(&s.device), "where the model runs: cpu, cuda or cuda:N");
  options.add_options()("batch", po::value(&s.batch), "show: sequences of a micro-batch");
  options.add_options()("prompt-tokens", po::value(&s.prompt_tokens), "show: mean tokens of a prompt");
  options.add_options()("answer-tokens", po::value(&s.answer_tokens), "show: mean tokens of an answer");
  options.add_options()("targets", po::value(&s.targets), "show, probe: linears with LoRA, separated by commas");
  options.add_options()("rank", po::value(&s.rank), "show, probe: rank of LoRA");
  options.add_options()("recompute", po::bool_switch(&s.recompute), "show, probe: activations are computed again");
  return options;
}

ModelSettings parse(const Arguments& arguments) {
  ModelSettings s;
  po::options_description options = option_table(s);
  options.add_options()("names", po::value(&s.names));
  po::positional_options_description positional;
  positional.add("names", -1);
  try {
    po::variables_map map;
    po::store(po::command_line_parser(arguments).options(options).positional(positional).run(), map);
    po::notify(map);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("model: {}", e.what()));
  }
  if (s.dtype != "fp32" && s.dtype != "bf16") throw UsageError("--dtype takes fp32 or bf16");
  if (s.matmul_precision != "highest" && s.matmul_precision != "high")
    throw UsageError("--matmul-precision takes highest or high");
  return s;
}

model::TrainingCase training_case(const model::TransformerConfig& config, const ModelSettings& s) {
  model::TrainingCase step{
      .dtype = run::scalar_type(s.dtype), .labels = s.batch * s.answer_tokens, .recompute = s.recompute};
  step.rows = s.batch * (config.encoder_decoder() ? s.answer_tokens : s.prompt_tokens + s.answer_tokens);
  step.source_rows = config.encoder_decoder() ? s.batch * s.prompt_tokens : 0;
  run::add_lora(step, lora_of(s), config);
  return step;
}

void print_estimate(const std::string& what, const model::MemoryEstimate& e) {
  using model::bytes_text;
  fmt::print("{:<24}{:>9}  weights {}, packed {}, trained {}, activations {}, transient {}, program {}\n", what,
             bytes_text(e.total()), bytes_text(e.weights), bytes_text(e.packed), bytes_text(e.training),
             bytes_text(e.activations), bytes_text(e.transient), bytes_text(e.program));
}

int show(const ModelSettings& s) {
  const model::TransformerConfig c = model::read_config(model_directory_of(s.names.at(1)) / "config.json");
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
  fmt::print("\npeak memory, {}, {} sequences of {} + {} tokens\n", s.dtype, s.batch, s.prompt_tokens, s.answer_tokens);
  print_estimate(fmt::format("LoRA {} of rank {}", s.targets, s.rank), model::estimate_memory(c, step));
  print_estimate("answering", model::estimate_answering(c, {.dtype = run::scalar_type(s.dtype),
                                                            .slots = s.batch,
                                                            .prompt = s.prompt_tokens,
                                                            .new_tokens = s.answer_tokens}));
  return kSuccess;
}

/// Copies what a model directory holds beside config and weights.
void copy_companions(const std::filesystem::path& from, const std::filesystem::path& to) {
  for (const char* name : {"generation_config.json", "tokenizer.json", "tokenizer_config.json",
                           "special_tokens_map.json", "tokenizer.model", "spiece.model"})
    if (std::filesystem::exists(from / name))
      std::filesystem::copy_file(from / name, to / name, std::filesystem::copy_options::overwrite_existing);
}

int merge(const ModelSettings& s) {
  ModelSettings with_adapter = s;
  with_adapter.adapter = s.names.at(2);
  const LoadedModel loaded(with_adapter);
  loaded.model->merged(loaded.active())->save(s.names.at(3), run::scalar_type(s.dtype));
  copy_companions(loaded.directory, s.names.at(3));
  fmt::print("{}\n", s.names.at(3));
  return kSuccess;
}
}  // namespace

Command model_command() {
  return {"model", "show|logits|generate|score|probe|merge DIR …", "a model directory: sizes, memory, numbers",
          [](const Arguments& arguments) {
            const ModelSettings s = parse(arguments);
            if (s.help || s.names.empty()) {
              ModelSettings unused;
              std::cout << kHelp << "\n" << option_table(unused);
              return s.help ? kSuccess : kUsage;
            }
            const std::map<std::string, std::pair<std::size_t, int (*)(const ModelSettings&)>> actions = {
                {"show", {1, show}},         {"logits", {1, model_logits}}, {"generate", {1, model_generate}},
                {"score", {1, model_score}}, {"probe", {1, model_probe}},   {"merge", {3, merge}}};
            const auto action = actions.find(s.names[0]);
            if (action == actions.end())
              throw UsageError(fmt::format(
                  "model: unknown action '{}'; known: show, logits, generate, score, probe, merge", s.names[0]));
            const auto& [operands, run] = action->second;
            if (s.names.size() != operands + 1)
              throw UsageError(fmt::format("model {}: expected {}; see mneme model --help", s.names[0],
                                           operands == 1 ? "one directory" : "DIR ADAPTER OUT"));
            return run(s);
          }};
}

}  // namespace mneme::cli
