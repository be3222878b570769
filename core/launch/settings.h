#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/launch/options.h"
#include "core/launch/run_process.h"

namespace mneme::launch {

/// `.mneme/settings.json`: what `resume` needs to go on as `run` began, from any directory.
struct Settings {
  std::string experiment;                           ///< the sweep's name
  std::string file;                                 ///< the experiment file as it was given
  std::filesystem::path working_directory;          ///< relative paths in configs count from here
  std::vector<std::filesystem::path> plugin_paths;  ///< absolute
  LauncherOptions launcher;                         ///< with the number of threads that was chosen
};

std::string to_json(const Settings& settings);
/// Throws Error naming the file if the text is not what to_json() writes.
Settings read_settings(const std::string& json, const std::filesystem::path& file);

/// Changes a launcher setting by an override, "launcher.time=4:00:00": how runs are started may change while a sweep
/// goes on. Throws ConfigError if it names anything else or is wrong.
void apply_override(Settings& settings, const std::string& override);

/// The full program is not there: a build without LibTorch.
class RunnerMissing final : public Error {
 public:
  using Error::Error;
  ~RunnerMissing() override;
};

/// The full program beside this one (or $MNEME_RUNNER), with the settings' working directory and plugin paths.
/// Throws RunnerMissing if the program is not there, Error if the working directory is not.
Runner make_runner(const Settings& settings);

}  // namespace mneme::launch
