#pragma once

#include <string>
#include <vector>

#include "core/config/config.h"
#include "core/launch/settings.h"
#include "core/launch/sweep_directory.h"

namespace mneme::launch {

/// An experiment expanded to its runs, with how they are to be started.
struct ComposedSweep {
  config::Request request;
  config::Plan plan;
  Settings settings;
};

/// Expands the request and reads its `launcher` section and on_error. If a launcher is named (local or slurm), the
/// config group's option of that name is chosen where the experiment has one. Throws ConfigError.
ComposedSweep compose_sweep(config::Request request, const std::string& launcher);

/// Everything that goes to disk: per run `.hydra/{config,overrides,hydra}.yaml` as Hydra writes them and
/// `.hydra/resolved.json`; sweep.yaml as composed, below a comment that says what was asked for.
SweepFiles sweep_files(const ComposedSweep& sweep);

}  // namespace mneme::launch
