#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/config/json.h"
#include "core/launch/local.h"
#include "core/launch/sweep_directory.h"
#include "core/launch/sweep_report.h"
#include "tests/support/temporary_directory.h"

namespace mneme::launch::test {
namespace fs = std::filesystem;
using mneme::test::TemporaryDirectory;

/// A sweep whose runs do what the fake runner's sections say; ids 000000000001, ….
inline SweepFiles fake_sweep(const std::vector<nlohmann::json>& sections, std::size_t first_id = 1) {
  SweepFiles sweep;
  sweep.sweep_yaml = fmt::format("runs: {}\n", sections.size());
  sweep.settings_json = "{}\n";
  for (std::size_t i = 0; i < sections.size(); ++i) {
    RunFiles run;
    run.id = fmt::format("{:012x}", first_id + i);
    run.overrides = {fmt::format("seed={}", first_id + i)};
    run.files[".hydra/resolved.json"] = nlohmann::json{{"fake", sections[i]}}.dump();
    run.files[".hydra/config.yaml"] = "seed: 1\n";
    sweep.runs.push_back(std::move(run));
  }
  return sweep;
}

inline Runner fake_runner() {
  Runner runner;
  runner.program = fs::path(MNEME_BINARY_DIR) / "tests" / "mneme_fake_runner";
  runner.directory = fs::temp_directory_path();
  return runner;
}

inline LauncherOptions quick_options(int jobs) {
  LauncherOptions options;
  options.jobs = jobs;
  options.threads = 1;
  options.stop_seconds = 1;
  return options;
}

/// Collects what a view prints.
class TextFile {
 public:
  TextFile() : file_(std::tmpfile()) {}
  ~TextFile() { std::fclose(file_); }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  std::FILE* get() const { return file_; }
  std::string text() const {
    std::string result(static_cast<std::size_t>(std::ftell(file_)), 0);
    std::rewind(file_);
    result.resize(std::fread(result.data(), 1, result.size(), file_));
    return result;
  }

 private:
  std::FILE* file_;
};

inline LaunchResult launch_fake(SweepDirectory& sweep, const std::vector<RunEntry>& runs,
                                const LauncherOptions& options, std::string* output = nullptr) {
  const TextFile out;
  LaunchResult result;
  {
    SweepView view(out.get(), false);
    result = launch_local(sweep, runs, options, fake_runner(), view);
  }
  if (output != nullptr) *output = out.text();
  return result;
}

/// A launcher section as a config file would hold it.
inline LauncherOptions options_of(const nlohmann::json& section) {
  return read_launcher_options(config::parse_json(section.dump(), "test.yaml"));
}

inline std::vector<RunState> states(const SweepDirectory& sweep) {
  std::vector<RunState> result;
  for (const auto& run : sweep.runs()) result.push_back(run.state);
  return result;
}

inline std::size_t count_lines(const fs::path& file) {
  std::ifstream in(file);
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line);) ++lines;
  return lines;
}

/// The message of the exception that f throws, "" if it throws none.
template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace mneme::launch::test
