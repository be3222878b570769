#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/param_spec.h"
#include "core/config/node.h"

namespace mneme::launch {

/// What only the Slurm launcher reads.
struct SlurmOptions {
  std::string partition, account, qos, constraint;  ///< "" leaves the cluster's default
  std::string time;                                 ///< limit per run as sbatch takes it, "" for the partition's
  std::vector<std::string> setup;                   ///< lines of shell before the run: module load, export
  std::vector<std::string> sbatch;                  ///< further #SBATCH options, "--exclude=n3"
  int requeues = 3;                                 ///< how often one run may be put back into the queue
  int warning_seconds = 120;                        ///< how long before the limit a run is told to stop
  std::string warning_signal = "USR1";              ///< USR1 or USR2
};

/// The config group `launcher` with the command line's options on top.
struct LauncherOptions {
  std::string name = "local";     ///< local or slurm
  int jobs = 0;                   ///< runs at the same time; 0: as many as fit (Slurm: no throttle)
  int threads = 0;                ///< threads of each run; 0: the cores divided by the jobs
  std::vector<std::string> gpus;  ///< local: devices to share out; Slurm: its size is the number per run; empty: none
  bool all_gpus = false;          ///< local: every device of the machine
  int runs_per_gpu = 1;
  std::int64_t memory = 0;     ///< bytes that each run needs; 0: unknown. Local: limits how many run at once
  bool pin = true;             ///< local: each run keeps to cores of its own, where the machine is otherwise idle
  double stop_seconds = 20;    ///< patience with a run that was asked to stop, before it is killed
  bool stop_on_error = false;  ///< start nothing more after the first failure
  SlurmOptions slurm;
};

/// The keys of the group `launcher`, for checking, help and documentation.
const ParamSpecs& launcher_params();

/// Reads the resolved `launcher` section. Throws ConfigError, with the position, for an unknown key (with the nearest
/// known one) and a value of the wrong type or out of range. A null section gives the defaults.
LauncherOptions read_launcher_options(const config::Node& section);

/// Bytes of "8G", "512M", "2.5GiB" or a plain number, units being powers of 1024; nothing if it is no size.
std::optional<std::int64_t> parse_bytes(const std::string& text);
/// "1.5 GiB", "12 MiB".
std::string format_bytes(std::int64_t bytes);

}  // namespace mneme::launch
