#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "core/base/file.h"
#include "core/launch/process.h"
#include "tests/support/temporary_directory.h"

namespace mneme::test {

/// A one-node Slurm of this test program's own (slurm-one-node), without accounting database; SLURM_CONF of this
/// process names it. Stopped on scope exit.
class SlurmCluster {
 public:
  static constexpr const char* kSkipped =
      "skipped: no Slurm here (apt-get install --no-install-recommends slurmctld slurmd slurm-client munge)";

  /// \param cpus that the node claims; they need not be there.
  explicit SlurmCluster(int cpus = 16) {
    ::setenv("SLURM_ONE_NODE_CPUS", std::to_string(cpus).c_str(), 1);
    ::setenv("SLURM_ONE_NODE_GPUS", "2", 1);
    const launch::Captured started = control("start");
    if (started.exit.code == 77) return;
    if (!started.ok()) throw std::runtime_error("the test cluster did not start: " + started.error);
    const auto equals = started.output.find('=');
    ::setenv("SLURM_CONF", started.output.substr(equals + 1, started.output.find('\n') - equals - 1).c_str(), 1);
    running_ = true;
  }
  ~SlurmCluster() {
    if (running_) control("stop");
  }
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;

  /// False where the packages are missing.
  bool running() const { return running_; }

 private:
  launch::Captured control(const std::string& what) const {
    // Through files: the daemons that it starts would keep pipes open.
    launch::ChildOptions options;
    options.arguments = {"/bin/sh", "-c",
                         fmt::format("'{}/tests/support/slurm-one-node' {} '{}' >'{}' 2>'{}'", MNEME_SOURCE_DIR, what,
                                     (home_ / "s").string(), (home_ / "out").string(), (home_ / "err").string())};
    launch::Captured captured = run_and_capture(options);
    captured.output = read_file(home_ / "out");
    captured.error = read_file(home_ / "err");
    return captured;
  }

  TemporaryDirectory home_{"slurm"};
  bool running_ = false;
};

}  // namespace mneme::test
