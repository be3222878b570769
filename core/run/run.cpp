#include "core/run/run.h"

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/config/json.h"
#include "core/run/session.h"

namespace mneme::run {

RunStatus execute(const std::filesystem::path& directory, plugin::PluginRegistry& plugins) {
  const std::filesystem::path config_file = directory / ".hydra" / "resolved.json";
  Session session(directory, config::parse_json(read_file(config_file), config_file.string()), plugins);
  try {
    session.run();
    session.end(RunStatus::kDone, "");
    return RunStatus::kDone;
  } catch (const Diverged& e) {
    spdlog::error("diverged: {}", e.what());
    session.end(RunStatus::kDiverged, e.what());
    return RunStatus::kDiverged;
  } catch (const std::exception& e) {
    spdlog::error("{}", e.what());
    session.end(RunStatus::kFailed, e.what());
    return RunStatus::kFailed;
  }
}

}  // namespace mneme::run
