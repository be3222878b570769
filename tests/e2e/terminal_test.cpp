// The live view and Ctrl-C as a person sees them: the program under a real pseudo-terminal.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <regex>

#include "tests/e2e/study.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;
using launch::RunState;

namespace {

/// A program whose terminal is this object.
class Terminal {
 public:
  Terminal(const launch::ChildOptions& options, unsigned short columns) {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = 24;
    pid_ = ::forkpty(&master_, nullptr, nullptr, &size);
    if (pid_ == 0) become(options);
    ::fcntl(master_, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() {
    if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
    ::close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(char key) const { [[maybe_unused]] const auto written = ::write(master_, &key, 1); }

  /// Everything shown so far, control sequences included.
  const std::string& shown() {
    std::array<char, 4096> buffer{};
    for (ssize_t n = 0; (n = ::read(master_, buffer.data(), buffer.size())) > 0;)
      shown_.append(buffer.data(), static_cast<std::size_t>(n));
    return shown_;
  }
  bool shows(const std::string& text, double seconds = 60) {
    return eventually(seconds, [&] { return contains(shown(), text); });
  }
  /// Its exit code; nothing within the time: -1.
  int exit_code(double seconds = 60) {
    int status = 0;
    const bool ended = eventually(seconds, [&] {
      shown();
      return ::waitpid(pid_, &status, WNOHANG) == pid_;
    });
    if (!ended) return -1;
    pid_ = 0;
    shown();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  [[noreturn]] static void become(const launch::ChildOptions& options) {
    ::setenv("TERM", "xterm", 1);
    for (const auto& [key, value] : options.environment) ::setenv(key.c_str(), value.c_str(), 1);
    std::vector<char*> argv;
    for (const auto& argument : options.arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    if (::chdir(options.directory.c_str()) == 0) ::execv(argv[0], argv.data());
    ::_exit(127);
  }

  int pid_ = 0, master_ = -1;
  std::string shown_;
};

constexpr char kControlC = 3;

/// Runs long enough to be looked at.
const char* const kLong = R"(defaults: [base, _self_]
name: long
stream: {order: [opinion, science], train_rows: 96, eval_rows: 4, test_rows: 6}
train: {batch_size: 4, epochs: 50, max_length: 256}
launcher: {jobs: 2, threads: 1, pin: false}
sweep: {grid: {seed: [1, 2, 3]}}
)";

/// What stands on the screen in the end: cursor movements carried out.
std::vector<std::string> screen_lines(const std::string& shown) {
  std::vector<std::string> lines{""};
  std::size_t row = 0;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (shown[i] == '\033' && i + 1 < shown.size() && shown[i + 1] == '[') {
      std::size_t end = i + 2;
      while (end < shown.size() && std::isdigit(static_cast<unsigned char>(shown[end])) != 0) ++end;
      const std::size_t count = end > i + 2 ? std::stoul(shown.substr(i + 2, end - i - 2)) : 1;
      if (shown[end] == 'A') row -= std::min(row, count);
      if (shown[end] == 'J') lines.resize(row + 1), lines[row].clear();
      i = end;
    } else if (shown[i] == '\n') {
      if (++row == lines.size()) lines.emplace_back();
    } else if (shown[i] == '\r') {
      // The launcher writes whole lines only.
    } else {
      lines[row] += shown[i];
    }
  }
  return lines;
}

}  // namespace

TEST_CASE("on a terminal each running run has a line, below them the total, all within the width", "[terminal]") {
  const Study study(kLong);
  Terminal terminal(study.command({"run", "exp.yaml", "--out", "out"}), 90);
  REQUIRE(terminal.shows("task 1/2 train"));
  REQUIRE(eventually(60, [&] {
    const auto lines = screen_lines(terminal.shown());
    const std::regex run(R"(  [0-9a-f]{12}  task 1/2 train +[0-9]+ %  .*ETA .*seed=[12].*)");
    std::size_t runs = 0;
    for (const auto& line : lines) runs += std::regex_match(line, run);
    return runs == 2;
  }));
  const auto lines = screen_lines(terminal.shown());
  const std::regex total(R"(0 of 3 done, 2 running, 1 waiting, .*ETA .*)");
  CHECK(std::count_if(lines.begin(), lines.end(), [&](const auto& line) { return std::regex_match(line, total); }) ==
        1);
  for (const auto& line : lines) {
    CAPTURE(line);
    CHECK((line.size() < 90 || !line.starts_with("  ")));
  }
}

TEST_CASE("Ctrl-C stops the sweep cleanly and says how to go on", "[terminal]") {
  const Study study(kLong);
  Terminal terminal(study.command({"run", "exp.yaml", "--out", "out"}), 100);
  REQUIRE(terminal.shows("task 1/2 train"));
  terminal.type(kControlC);
  CHECK(terminal.shows("Ctrl-C again kills"));
  CHECK(terminal.exit_code() == 1);
  CHECK(contains(terminal.shown(), "go on with: mneme resume out"));
  const auto report = study.report("out");
  CHECK(report.count(RunState::kInterrupted) == 2);
  CHECK(report.count(RunState::kPending) == 1);
  CHECK(report.runs[0].entry.reason == "stopped by the user");
  const auto lines = screen_lines(terminal.shown());
  CHECK(std::none_of(lines.begin(), lines.end(), [](const auto& line) { return contains(line, "task 1/2 train "); }));
}

TEST_CASE("a second Ctrl-C kills runs that do not stop", "[terminal]") {
  Study study(R"(defaults: [base, _self_]
name: deaf
stream: {order: [opinion, science], train_rows: 16, eval_rows: 4, test_rows: 4}
train: {batch_size: 4, max_length: 256}
launcher: {jobs: 1, threads: 1, stop_seconds: 100}
sweep: {grid: {strategy: misbehave, strategy.how: deaf}}
)");
  Terminal terminal(study.command({"run", "exp.yaml", "--out", "out"}), 100);
  REQUIRE(terminal.shows("task 2/2"));
  sleep_seconds(0.5);
  terminal.type(kControlC);
  REQUIRE(terminal.shows("Ctrl-C again kills"));
  CHECK(terminal.exit_code(1) == -1);
  terminal.type(kControlC);
  CHECK(terminal.exit_code(20) == 1);
  CHECK(contains(terminal.shown(), "killing 1 run(s)"));
  CHECK(study.report("out").runs[0].entry.reason == "stopped by the user; it had to be killed");
  CHECK(launch::liveness(study.report("out").runs[0].report.attempt->process) == launch::Liveness::kDead);
}
