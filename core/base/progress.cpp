#include "core/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mneme {

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto s = static_cast<std::int64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

ProgressBar::ProgressBar(std::string title, std::int64_t total)
    : title_(std::move(title)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (terminal_ && drawn_) std::fputc('\n', stderr);
}

double ProgressBar::eta_seconds() const {
  if (total_ <= 0 || done_ <= 0) return -1;
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  return elapsed / static_cast<double>(done_) * static_cast<double>(total_ - done_);
}

void ProgressBar::update(std::int64_t done, const std::string& note) {
  done_ = done;
  const auto now = Clock::now();
  const bool finished = total_ > 0 && done_ >= total_;
  if (terminal_) {
    if (!finished && now - last_draw_ < std::chrono::milliseconds(100)) return;
  } else {
    const std::int64_t tenth = total_ > 0 ? done_ * 10 / total_ : 0;
    if (tenth == last_tenth_ || (!finished && now - last_draw_ < std::chrono::seconds(10))) return;
    last_tenth_ = tenth;
  }
  last_draw_ = now;
  draw(note);
}

void ProgressBar::draw(const std::string& note) {
  const double fraction = total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 0.0;
  const std::string eta = total_ > 0 && done_ < total_ ? "  ETA " + format_duration(eta_seconds()) : "";
  if (terminal_) {
    constexpr int kWidth = 24;
    const int filled = static_cast<int>(fraction * kWidth);
    fmt::print(stderr, "\r\033[K{} [{}{}] {:3.0f}%{}  {}", title_, std::string(filled, '='),
               std::string(kWidth - filled, ' '), fraction * 100, eta, note);
  } else {
    fmt::print(stderr, "{}  {:3.0f}%{}  {}\n", title_, fraction * 100, eta, note);
  }
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace mneme
