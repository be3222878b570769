#include <array>
#include <utility>

#include "core/config/repository.h"

namespace mneme::config {

namespace {
// Hydra's settings by their names and defaults, so that configs and overrides of hydra.* compose as with Hydra. The
// logging and help groups hold only what can be chosen: Mneme does not log through Python.
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kFiles = {{
    {"hydra/config", R"(
defaults:
  - output: default
  - launcher: basic
  - sweeper: basic
  - help: default
  - hydra_help: default
  - hydra_logging: default
  - job_logging: default
  - callbacks: null
  - env: default
mode: null
searchpath: []
run: {dir: '???'}
sweep: {dir: '???', subdir: '???'}
hydra_logging: ???
job_logging: ???
sweeper: ???
launcher: ???
callbacks: {}
help: {app_name: '???', header: '???', footer: '???', template: '???'}
hydra_help: {hydra_help: '???', template: '???'}
output_subdir: .hydra
overrides: {hydra: [], task: []}
job:
  name: ???
  chdir: null
  override_dirname: ???
  id: ???
  num: ???
  config_name: ???
  env_set: {}
  env_copy: []
  config:
    override_dirname: {kv_sep: '=', item_sep: ',', exclude_keys: []}
runtime: {version: '???', version_base: '???', cwd: '???', config_sources: '???', output_dir: '???', choices: {}}
verbose: false
)"},
    {"hydra/output/default", R"(# @package hydra
run: {dir: 'outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}'}
sweep: {dir: 'multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}', subdir: '${hydra.job.num}'}
)"},
    {"hydra/env/default", ""},
    {"hydra/launcher/basic", "_target_: basic\n"},
    {"hydra/sweeper/basic", "_target_: basic\nmax_batch_size: null\nparams: null\n"},
    {"hydra/help/default", "app_name: ${hydra.job.name}\nheader: ''\nfooter: ''\ntemplate: ''\n"},
    {"hydra/hydra_help/default", "template: ''\n"},
    {"hydra/hydra_logging/default", "version: 1\nroot: {level: INFO}\ndisable_existing_loggers: false\n"},
    {"hydra/hydra_logging/disabled", "version: 1\nroot: {level: ERROR}\ndisable_existing_loggers: true\n"},
    {"hydra/hydra_logging/hydra_debug", "version: 1\nroot: {level: DEBUG}\ndisable_existing_loggers: false\n"},
    {"hydra/hydra_logging/none", "version: 1\nroot: null\ndisable_existing_loggers: false\n"},
    {"hydra/job_logging/default", "version: 1\nroot: {level: INFO}\ndisable_existing_loggers: false\n"},
    {"hydra/job_logging/disabled", "version: 1\nroot: {level: ERROR}\ndisable_existing_loggers: true\n"},
    {"hydra/job_logging/none", "version: 1\nroot: null\ndisable_existing_loggers: false\n"},
    {"hydra/job_logging/stdout", "version: 1\nroot: {level: INFO}\ndisable_existing_loggers: false\n"},
}};
}  // namespace

std::optional<std::string_view> builtin_config(std::string_view path) {
  for (const auto& [name, text] : kFiles)
    if (name == path) return text;
  return std::nullopt;
}

std::vector<std::string_view> builtin_config_paths() {
  std::vector<std::string_view> paths;
  for (const auto& file : kFiles) paths.push_back(file.first);
  return paths;
}

}  // namespace mneme::config
