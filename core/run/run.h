#pragma once

#include <filesystem>
#include <functional>

#include "core/event/event.h"
#include "core/plugin/loader.h"

namespace mneme::run {

/// Whether the run has been asked to stop; looked at after every step.
using StopQuery = std::function<bool()>;

/// Runs what `directory`/.hydra/resolved.json says, from the start or from the run's last checkpoint: trains the
/// stream, evaluates every task after every stage, writes run.h5, progress.json, checkpoints/ and adapters/. What goes
/// wrong in a run ends in the record, the log and the status; this throws only where no record can be written.
/// \return kRunning if it was stopped before its end
RunStatus execute(const std::filesystem::path& directory, plugin::PluginRegistry& plugins, StopQuery stop);

}  // namespace mneme::run
