#include "core/run/progress_file.h"

#include <nlohmann/json.hpp>

#include "core/base/file.h"

namespace mneme::run {

ProgressFile::ProgressFile(std::filesystem::path file, std::int64_t tasks, double total)
    : file_(std::move(file)), tasks_(tasks), total_(total) {}

void ProgressFile::update(const std::string& phase, std::int64_t task, double done, const std::string& note) {
  if (first_ < 0) first_ = done;
  const auto now = Clock::now();
  const bool news = phase != last_phase_ || task != last_task_;
  if (file_.empty() || (!news && now - last_ < std::chrono::milliseconds(250))) return;
  last_ = now, last_phase_ = phase, last_task_ = task;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double eta = done > first_ ? elapsed / (done - first_) * (total_ - done) : -1;
  const auto updated = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const nlohmann::json json = {{"phase", phase}, {"task", task},        {"tasks", tasks_},
                               {"done", done},   {"total", total_},     {"eta_seconds", eta},
                               {"note", note},   {"updated", static_cast<double>(updated.count()) / 1000.0}};
  write_file_atomically(file_, json.dump());
}

}  // namespace mneme::run
