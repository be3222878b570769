#pragma once

#include <filesystem>

#include "core/event/event.h"
#include "core/plugin/loader.h"

namespace mneme::run {

/// Runs what `directory`/.hydra/resolved.json says, from the start or from the run's last checkpoint: trains the stream,
/// evaluates every task after every stage, writes run.h5, progress.json, checkpoints/ and adapters/.
/// What goes wrong in a run ends in the record, the log and the status; this throws only where no record can be written.
RunStatus execute(const std::filesystem::path& directory, plugin::PluginRegistry& plugins);

}  // namespace mneme::run
