#include "core/event/event.h"

namespace mneme {

RunSink::~RunSink() = default;

std::string_view to_string(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning:
      return "running";
    case RunStatus::kDone:
      return "done";
    case RunStatus::kFailed:
      return "failed";
    case RunStatus::kDiverged:
      return "diverged";
  }
  return "";
}

}  // namespace mneme
