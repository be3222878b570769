#include "core/run/run.h"

#include <c10/util/Exception.h>

#include <new>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/config/json.h"
#include "core/run/session.h"

namespace mneme::run {

namespace {
/// The message without LibTorch's trace of calls; want of memory is called so.
std::string failure_text(const std::exception& e) {
  const auto* torch = dynamic_cast<const c10::Error*>(&e);
  const std::string text = torch != nullptr ? torch->what_without_backtrace() : e.what();
  const bool memory = dynamic_cast<const std::bad_alloc*>(&e) != nullptr ||
                      dynamic_cast<const c10::OutOfMemoryError*>(&e) != nullptr ||
                      text.find("can't allocate memory") != text.npos;
  return memory ? "out of memory: " + text : text;
}
}  // namespace

RunStatus execute(const std::filesystem::path& directory, plugin::PluginRegistry& plugins, StopQuery stop) {
  const std::filesystem::path config_file = directory / ".hydra" / "resolved.json";
  Session session(directory, config::parse_json(read_file(config_file), config_file.string()), plugins,
                  std::move(stop));
  try {
    session.run();
    session.end(RunStatus::kDone, "");
    return RunStatus::kDone;
  } catch (const Stopped& e) {
    spdlog::info("{}", e.what());
    return RunStatus::kRunning;
  } catch (const Diverged& e) {
    spdlog::error("diverged: {}", e.what());
    session.end(RunStatus::kDiverged, e.what());
    return RunStatus::kDiverged;
  } catch (const std::exception& e) {
    const std::string error = failure_text(e);
    spdlog::error("{}", error);
    session.release();
    session.end(RunStatus::kFailed, error);
    return RunStatus::kFailed;
  }
}

}  // namespace mneme::run
