#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/process.h"
#include "core/launch/sweep_report.h"
#include "tests/support/temporary_directory.h"

namespace mneme::test {

/// What must not depend on where, how often interrupted, or beside what a sweep was computed.
struct Results {
  std::string table;                        ///< `mneme table --format csv`
  std::map<std::string, std::string> runs;  ///< by id: digest of every score, loss and prediction, bit for bit
  bool operator==(const Results&) const = default;
};

/// A directory of its own with an experiment file, exp.yaml, and the programs of the build tree to run in it.
class Study {
 public:
  /// Twelve runs of a second each: four strategies, three seeds, two tasks, few rows, two at a time.
  static const char* const kTwelveRuns;

  explicit Study(const std::string& experiment = kTwelveRuns);

  const std::filesystem::path& path() const { return home_.path(); }
  std::filesystem::path operator/(const std::string& name) const { return home_ / name; }
  void write(const std::string& name, const std::string& text) const;

  /// `mneme arguments…` in this directory, with caches of its own.
  launch::ChildOptions command(std::vector<std::string> arguments) const;
  launch::Captured mneme(std::vector<std::string> arguments) const {
    return run_and_capture(command(std::move(arguments)));
  }
  /// Started, not waited for; what it prints goes to `<name>.log`.
  launch::Child start(std::vector<std::string> arguments, const std::string& log) const;

  launch::SweepDirectory sweep(const std::string& directory) const {
    return launch::SweepDirectory::open(*this / directory);
  }
  launch::SweepReport report(const std::string& directory) const { return launch::inspect_sweep(sweep(directory)); }
  Results results(const std::string& directory) const;

 private:
  TemporaryDirectory home_{"e2e"};
};

/// Waits for its end.
launch::ProcessExit wait_for(launch::Child& child);

/// Waits until the condition holds, at most `seconds`; false if it never did.
template <class Condition>
bool eventually(double seconds, Condition&& condition);

/// The part of a text that a failed check should show.
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

void sleep_seconds(double seconds);

template <class Condition>
bool eventually(double seconds, Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    sleep_seconds(0.02);
  }
  return true;
}

}  // namespace mneme::test
