#include "core/run/progress_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/file.h"

namespace mneme::run {

namespace {
/// Time of answering one prompt, in times of training on one sample, as long as only one of the two was measured.
constexpr double kPromptsPerSample = 0.4;

double in_samples(const Work& work) { return work.samples + kPromptsPerSample * work.prompts; }
}  // namespace

ProgressFile::ProgressFile(std::filesystem::path file, std::int64_t tasks, Work total, Work done)
    : file_(std::move(file)), tasks_(tasks), total_(total), done_(done) {}

double ProgressFile::eta_seconds() const {
  double per_sample = measured_.samples > 0 ? train_seconds_ / measured_.samples : -1;
  double per_prompt = measured_.prompts > 0 ? eval_seconds_ / measured_.prompts : -1;
  if (per_sample < 0 && per_prompt < 0) return -1;
  if (per_sample < 0) per_sample = per_prompt / kPromptsPerSample;
  if (per_prompt < 0) per_prompt = per_sample * kPromptsPerSample;
  return per_sample * std::max(0.0, total_.samples - done_.samples) +
         per_prompt * std::max(0.0, total_.prompts - done_.prompts);
}

void ProgressFile::update(const ProgressMoment& moment) {
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - last_update_).count();
  const bool evaluates = moment.phase == "evaluate";
  (evaluates ? eval_seconds_ : train_seconds_) += seconds;
  measured_.samples += std::max(0.0, moment.done.samples - done_.samples);
  measured_.prompts += std::max(0.0, moment.done.prompts - done_.prompts);
  done_ = moment.done;
  last_update_ = now;
  const bool news = moment.phase != last_phase_ || moment.task != last_task_;
  if (file_.empty() || (!news && now - last_write_ < std::chrono::milliseconds(250))) return;
  last_write_ = now, last_phase_ = moment.phase, last_task_ = moment.task;
  write(moment.phase, moment.task, moment.step, moment.steps, moment.note);
}

void ProgressFile::finish() {
  done_ = total_;
  if (!file_.empty()) write("done", tasks_, 0, 0, "");
}

void ProgressFile::write(const std::string& phase, std::int64_t task, std::int64_t step, std::int64_t steps,
                         const std::string& note) {
  const auto updated =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const nlohmann::json json = {{"phase", phase},
                               {"task", task},
                               {"tasks", tasks_},
                               {"step", step},
                               {"steps", steps},
                               {"done", in_samples(done_)},
                               {"total", in_samples(total_)},
                               {"eta_seconds", eta_seconds()},
                               {"note", note},
                               {"updated", static_cast<double>(updated.count()) / 1000.0}};
  write_file_atomically(file_, json.dump());
}

}  // namespace mneme::run
