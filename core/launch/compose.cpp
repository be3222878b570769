#include "core/launch/compose.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/base/build_info.h"
#include "core/config/sweep.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using config::Node;

namespace {

std::vector<config::Override> parsed(const std::vector<std::string>& texts) {
  config::OverrideOptions options = config::default_override_options();
  options.task_orders = true;
  std::vector<config::Override> result;
  for (const auto& text : texts) {
    result.push_back(config::parse_override(text, options));
    ++options.number;
  }
  return result;
}

/// The override that chooses the launcher's option in the config, "" if there is nothing to choose.
std::string launcher_override(const config::Request& request, const std::string& launcher) {
  const auto overrides = parsed(request.overrides);
  const bool chosen =
      std::any_of(overrides.begin(), overrides.end(), [](const auto& o) { return o.key == "launcher"; });
  if (launcher.empty() || chosen) return "";
  config::Composer composer(request);
  const auto known = composer.group_options("launcher");
  if (std::find(known.begin(), known.end(), launcher) == known.end()) return "";
  for (const auto& [group, option] : composer.compose_leniently(overrides).choices) {
    if (group == "launcher") return option == launcher ? "" : "launcher=" + launcher;
  }
  return "+launcher=" + launcher;
}

Node text_list(const std::vector<std::string>& texts) {
  Node list = Node::list();
  for (const auto& text : texts) list.push_back(Node::string(text));
  return list;
}

/// As Hydra names a job's directory: the overrides sorted by key, with '/' escaped.
std::string override_dirname(std::vector<std::string> overrides) {
  std::sort(overrides.begin(), overrides.end());
  std::string result = fmt::format("{}", fmt::join(overrides, ","));
  for (std::size_t at = 0; (at = result.find('/', at)) != result.npos; at += 3) result.replace(at, 1, "%2F");
  return result;
}

/// Hydra's own settings of one run; what depends on the directory is filled in when that is known.
class HydraFile {
 public:
  HydraFile(const ComposedSweep& sweep, const config::PlannedRun& run, const config::Composition& composition)
      : hydra_(composition.hydra) {
    if (!hydra_.is_map()) hydra_ = Node::map();
    hydra_.set("mode", Node::string(sweep.plan.is_sweep ? "MULTIRUN" : "RUN"));
    below("overrides").set("task", text_list(run.overrides));
    Node& job = below("job");
    job.set("name", Node::string(sweep.plan.name));
    job.set("override_dirname", Node::string(override_dirname(run.overrides)));
    job.set("id", Node::string(run.id));
    job.set("num", Node::integer(run.index));
    job.set("config_name", Node::string(sweep.request.file.stem().string()));
    Node& runtime = below("runtime");
    runtime.set("version", Node::string(build_info().version));
    runtime.set("cwd", Node::string(sweep.settings.working_directory.string()));
    Node choices = Node::map();
    for (const auto& [group, option] : composition.choices) {
      choices.set(group, option == "null" ? Node::null() : Node::string(option));
    }
    runtime.set("choices", std::move(choices));
  }

  std::string text(const fs::path& run_directory) {
    const std::string own = run_directory.string();
    below("run").set("dir", Node::string(own));
    below("sweep").set("dir", Node::string(run_directory.parent_path().string()));
    below("sweep").set("subdir", Node::string(run_directory.filename().string()));
    below("runtime").set("output_dir", Node::string(own));
    Node root = Node::map();
    root.set("hydra", hydra_);
    return config::dump_yaml(root);
  }

 private:
  Node& below(const char* key) {
    Node* found = hydra_.find(key);
    return found != nullptr && found->is_map() ? *found : hydra_.set(key, Node::map());
  }

  Node hydra_;
};

RunFiles run_files(const ComposedSweep& sweep, const config::PlannedRun& run, config::Composer& composer) {
  RunFiles files;
  files.id = run.id;
  files.overrides = run.overrides;
  files.files[".hydra/config.yaml"] = config::dump_yaml(run.config);
  files.files[".hydra/overrides.yaml"] = config::dump_yaml(text_list(run.overrides));
  files.files[".hydra/resolved.json"] = config::dump_json(run.resolved, {.indent = 2}) + "\n";
  HydraFile hydra(sweep, run, composer.compose(parsed(run.overrides)));
  files.placed_files[".hydra/hydra.yaml"] = [hydra](const fs::path& directory) mutable {
    return hydra.text(directory);
  };
  return files;
}

/// The composed experiment with its sweep block; values that the command line sweeps stand in the comment alone.
std::string sweep_yaml(const ComposedSweep& sweep) {
  config::Composer composer(sweep.request);
  const auto composition = composer.compose_leniently(parsed(sweep.request.overrides));
  std::string text = fmt::format("# mneme run {}", config::shell_quoted(sweep.request.file.string()));
  for (const auto& override : sweep.request.overrides) text += " " + config::shell_quoted(override);
  if (sweep.request.multirun) text += " -m";
  return fmt::format("{}\n{}", text, config::dump_yaml(composition.config));
}

}  // namespace

ComposedSweep compose_sweep(config::Request request, const std::string& launcher) {
  ComposedSweep sweep;
  const std::string chosen = launcher_override(request, launcher);
  if (!chosen.empty()) request.overrides.push_back(chosen);
  sweep.plan = config::plan(request);
  sweep.request = std::move(request);
  // How runs are started is no part of what they are.
  for (auto& run : sweep.plan.runs) std::erase(run.overrides, chosen);
  sweep.settings.experiment = sweep.plan.name;
  sweep.settings.file = sweep.request.file.string();
  sweep.settings.working_directory = fs::current_path();
  if (!sweep.plan.runs.empty()) {
    const Node* section = sweep.plan.runs[0].resolved.find("launcher");
    sweep.settings.launcher = read_launcher_options(section != nullptr ? *section : Node());
  }
  if (!launcher.empty()) sweep.settings.launcher.name = launcher;
  if (sweep.plan.sweep.is_map()) {
    sweep.settings.launcher.stop_on_error = config::read_sweep_settings(sweep.plan.sweep).on_error == "stop";
  }
  return sweep;
}

SweepFiles sweep_files(const ComposedSweep& sweep) {
  SweepFiles files;
  files.sweep_yaml = sweep_yaml(sweep);
  files.settings_json = to_json(sweep.settings);
  config::Composer composer(sweep.request);
  for (const auto& run : sweep.plan.runs) files.runs.push_back(run_files(sweep, run, composer));
  return files;
}

}  // namespace mneme::launch
