#include "tools/cli/light/command_syntax.h"

namespace mneme::cli {

namespace {
OptionSyntax flag(const char* name) { return {name, false, {}, Operand::kNone}; }
OptionSyntax value(const char* name, Operand operand = Operand::kNone) { return {name, true, {}, operand}; }
OptionSyntax choice(const char* name, std::vector<std::string> values) {
  return {name, true, std::move(values), Operand::kNone};
}

std::vector<OptionSyntax> launch_options() {
  return {choice("--format", {"text", "json"}),
          flag("--multirun"),
          value("--jobs"),
          choice("--launcher", {"local", "slurm"}),
          value("--plugin-path", Operand::kDirectory),
          choice("--on-error", {"continue", "stop"}),
          value("--config-dir", Operand::kDirectory),
          value("--out", Operand::kDirectory),
          flag("--extend"),
          flag("--submit-only")};
}

std::vector<OptionSyntax> resume_options() {
  std::vector<OptionSyntax> options = launch_options();
  options.push_back(flag("--retry-diverged"));
  return options;
}

std::vector<CommandSyntax> model_syntax() {
  const OptionSyntax dtype = choice("--dtype", {"fp32", "bf16"});
  const OptionSyntax adapter = value("--adapter", Operand::kDirectory);
  return {
      {"model",
       "show",
       {Operand::kDirectory},
       {dtype, value("--batch"), value("--prompt-tokens"), value("--answer-tokens"), value("--targets"),
        value("--rank"), flag("--recompute")}},
      {"model", "logits", {Operand::kDirectory}, {value("--ids"), value("--decoder-ids"), adapter, dtype}},
      {"model",
       "generate",
       {Operand::kDirectory},
       {value("--prompt"), value("--ids"), value("--max-new-tokens"), adapter, dtype}},
      {"model",
       "score",
       {Operand::kDirectory},
       {value("--prompt"), value("--ids"), value("--answers"), adapter, dtype}},
      {"model",
       "probe",
       {Operand::kDirectory},
       {value("--data", Operand::kFile), value("--steps"), value("--lr"), value("--out", Operand::kDirectory), adapter,
        dtype, value("--targets"), value("--rank")}},
      {"model", "merge", {Operand::kDirectory}, {dtype}},
  };
}

std::vector<CommandSyntax> make_syntax() {
  const std::vector<Operand> experiment = {Operand::kConfigFile, Operand::kOverrides};
  const OptionSyntax format = choice("--format", {"text", "json"});
  const OptionSyntax plugin_path = value("--plugin-path", Operand::kDirectory);
  std::vector<CommandSyntax> syntax = {
      {"run", "", experiment, launch_options()},
      {"plan", "", experiment, launch_options()},
      {"data", "list", {Operand::kDataOverrides}, {format}},
      {"data", "show", {Operand::kStream, Operand::kDataOverrides}, {value("--rows"), format}},
      {"data", "check", {Operand::kStream, Operand::kDataOverrides}, {format}},
      {"metrics", "list", {}, {format}},
      {"metrics", "score", {Operand::kMetric, Operand::kFile}, {format}},
      {"plugins", "list", {}, {plugin_path, format}},
      {"plugins", "show", {Operand::kStrategy}, {plugin_path, format}},
      {"plugins", "check", {Operand::kStrategy}, {plugin_path, format}},
      {"plugins", "new", {Operand::kNone}, {value("--dir", Operand::kDirectory), format}},
      {"pretrain", "", experiment, {}},
      {"table",
       "",
       {Operand::kDirectory},
       {value("--rows"), value("--cols"), value("--metrics", Operand::kMetric),
        choice("--format", {"text", "md", "csv", "latex", "json"}), value("--digits"), value("--single"),
        flag("--list"), flag("--matrix"), value("--svg", Operand::kFile)}},
      {"status", "", {Operand::kDirectory}, {format}},
      {"resume", "", {Operand::kDirectory, Operand::kLauncherOverrides}, resume_options()},
      {"connectivity", "", {Operand::kDirectory}, {value("--svg", Operand::kFile)}},
      {"tokenize",
       "",
       {Operand::kNone},
       {value("--model", Operand::kDirectory), value("--file", Operand::kFile), flag("--special"), flag("--json"),
        flag("--pieces"), flag("--count"), flag("--decode"), flag("--skip-special")}},
      {"adapter", "export", {Operand::kDirectory}, {value("--after"), value("--out", Operand::kDirectory)}},
      {"config",
       "show",
       experiment,
       {flag("--resolve"), flag("--origin"), value("--package"), choice("--format", {"yaml", "json"}), plugin_path}},
      {"config", "selftest", {Operand::kFile}, {}},
      {"completion", "bash", {}, {}},
      {"completion", "zsh", {}, {}},
      {"completion", "fish", {}, {}},
      {"version", "", {}, {}},
  };
  for (CommandSyntax& command : model_syntax()) syntax.push_back(std::move(command));
  return syntax;
}
}  // namespace

const std::vector<CommandSyntax>& command_syntax() {
  static const std::vector<CommandSyntax> syntax = make_syntax();
  return syntax;
}

}  // namespace mneme::cli
