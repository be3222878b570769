#include "core/launch/view.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/base/progress.h"

namespace mneme::launch {

namespace {

constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kPlainInterval = std::chrono::seconds(60);
constexpr std::size_t kShortId = 12;

struct Size {
  std::size_t columns = 100, rows = 24;
};

Size terminal_size(std::FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {size.ws_col, size.ws_row};
}

std::string run_line(const ActiveRun& run) {
  return fmt::format("  {:.{}}  {}  {}  {}", run.id, kShortId, stage_text(run.progress, run.seconds), run.label,
                     step_text(run.progress));
}

std::string total_line(const SweepMoment& moment) {
  std::string text = count_text(moment);
  text += fmt::format(", {} running, {} waiting, {}", moment.active.size(), moment.waiting,
                      format_duration(moment.seconds));
  const double eta = sweep_eta(moment);
  if (eta >= 0 && moment.active.size() + moment.waiting > 0) text += ", ETA " + format_duration(eta);
  return text;
}

}  // namespace

double progress_fraction(const Progress& p) { return p.total > 0 ? std::clamp(p.done / p.total, 0.0, 1.0) : 0; }

std::string stage_text(const Progress& p, double seconds) {
  std::string text = p.phase.empty() ? "starting" : p.phase;
  if (p.tasks > 0) text = fmt::format("task {}/{} {:<8}", p.task, p.tasks, p.phase);
  if (p.total > 0) text += fmt::format(" {:>3.0f} %", std::floor(100 * progress_fraction(p)));
  text += "  " + format_duration(seconds);
  if (p.eta_seconds >= 0) text += ", ETA " + format_duration(p.eta_seconds);
  return text;
}

std::string step_text(const Progress& p) {
  std::string text = p.steps > 0 ? fmt::format("step {}/{}", p.step, p.steps) : "";
  if (!p.note.empty()) text += (text.empty() ? "" : ", ") + p.note;
  return text;
}

double sweep_eta(const SweepMoment& moment) {
  double work = 0, longest = 0, mean = moment.mean_seconds;
  double estimate_sum = 0;
  std::size_t estimates = 0;
  for (const auto& run : moment.active) {
    double left = run.progress.eta_seconds;
    if (left >= 0) {
      estimate_sum += run.seconds + left;
      ++estimates;
    } else if (mean >= 0) {
      left = std::max(0.0, mean - run.seconds);
    } else {
      return -1;
    }
    work += left;
    longest = std::max(longest, left);
  }
  if (mean < 0 && estimates > 0) mean = estimate_sum / static_cast<double>(estimates);
  if (moment.waiting > 0) {
    if (mean < 0) return -1;
    work += mean * static_cast<double>(moment.waiting);
  }
  return std::max(longest, work / static_cast<double>(std::max<std::size_t>(1, moment.slots)));
}

std::string count_text(const SweepMoment& moment) {
  std::string text = fmt::format("{} of {} done", moment.done, moment.total);
  if (moment.failed > 0) text += fmt::format(", {} failed", moment.failed);
  if (moment.diverged > 0) text += fmt::format(", {} diverged", moment.diverged);
  return text;
}

std::string fit(const std::string& line, std::size_t width) {
  std::size_t columns = 0;
  std::size_t cut = 0;  // bytes that leave room for the ellipsis
  for (std::size_t i = 0; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0U) == 0x80U) continue;
    if (columns + 1 == width) cut = i;
    if (++columns > width) return line.substr(0, cut) + "…";
  }
  return line;
}

SweepView::SweepView() : SweepView(stderr, ::isatty(STDERR_FILENO) == 1) {
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string(term) == "dumb") terminal_ = false;
}

SweepView::~SweepView() { write(erasure()); }

std::string SweepView::erasure() {
  const int lines = std::exchange(drawn_lines_, 0);
  return lines > 0 ? fmt::format("\033[{}A\r\033[J", lines) : "";
}

void SweepView::write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), out_);  // at once: a terminal never shows half of it
  std::fflush(out_);
}

void SweepView::say(const std::string& line) {
  write(erasure() + line + "\n");
  last_ = terminal_ ? Clock::time_point{} : Clock::now();
}

void SweepView::started(const RunEntry& run, const SweepMoment& moment) {
  if (terminal_) return;
  say(fmt::format("started  {} ({} of {})  {}{}", run.id, run.index + 1, moment.total, run.label(),
                  run.attempts > 1 ? fmt::format("  attempt {}", run.attempts) : ""));
}

void SweepView::ended(const RunEntry& run, const SweepMoment& moment) {
  std::string line =
      fmt::format("{:<8} {}  {}  in {}", to_string(run.state), run.id, run.label(), format_duration(run.seconds));
  if (run.state != RunState::kDone) line += ": " + run.reason;
  line += fmt::format("  ({}", count_text(moment));
  const double eta = sweep_eta(moment);
  if (eta >= 1) line += ", ETA " + format_duration(eta);
  say(line + ")");
}

void SweepView::tick(const SweepMoment& moment) {
  const auto now = Clock::now();
  if (now - last_ < (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainInterval))) return;
  if (terminal_) {
    draw(moment);
  } else if (last_ != Clock::time_point{}) {
    say(total_line(moment));
  }
  last_ = now;
}

void SweepView::draw(const SweepMoment& moment) {
  const Size size = terminal_size(out_);
  const std::size_t room = std::max<std::size_t>(2, size.rows) - 2;
  const std::size_t shown = std::min(moment.active.size(), room);
  std::string text = erasure();
  for (std::size_t i = 0; i < shown; ++i) text += fit(run_line(moment.active[i]), size.columns - 1) + "\n";
  write(text + fit(total_line(moment), size.columns - 1) + "\n");
  drawn_lines_ = static_cast<int>(shown) + 1;
}

}  // namespace mneme::launch
