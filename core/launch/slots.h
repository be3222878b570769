#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/options.h"

namespace mneme::launch {

/// What this machine lends to its runs.
struct Machine {
  std::vector<std::vector<int>> cores;  ///< per physical core that this process may use, its hardware threads
  std::vector<std::string> gpus;        ///< ids as CUDA_VISIBLE_DEVICES takes them
  std::int64_t free_memory = 0;         ///< bytes; 0 if unknown
  bool quota = false;                   ///< whether a CPU quota leaves less than the affinity mask shows
  double load = 0;                      ///< runnable processes over the last minute
};

/// Affinity mask, cgroup CPU quota, /dev/nvidia*, CUDA_VISIBLE_DEVICES, /proc/meminfo.
Machine detect_machine();

/// A place where one run at a time lives.
struct Slot {
  int index = 0;
  int threads = 1;
  std::vector<int> cpus;           ///< hardware threads of its own; empty: not pinned
  std::optional<std::string> gpu;  ///< its device
  std::int64_t memory = 0;         ///< bytes that its run may take; 0: unknown
};

/// Shares the machine out to at most `runs` slots, so that jobs x threads stays within the cores. What was asked for
/// and does not fit is reduced, with a warning. Throws ConfigError if GPUs are asked for that are not there.
std::vector<Slot> make_slots(const LauncherOptions& options, const Machine& machine, std::size_t runs,
                             std::vector<std::string>& warnings);

/// Cores that launchers of one user have handed out, so that two sweeps on a machine do not pin runs to the same ones.
class CoreReservation {
 public:
  /// Reserves `count` of the cores, or none if not enough are free.
  CoreReservation(const std::vector<std::vector<int>>& cores, std::size_t count);
  ~CoreReservation();
  CoreReservation(const CoreReservation&) = delete;
  CoreReservation& operator=(const CoreReservation&) = delete;

  /// Indices into the cores; empty if not enough were free.
  const std::vector<std::size_t>& cores() const { return cores_; }

 private:
  std::vector<std::size_t> cores_;
  std::vector<int> locks_;
};

/// Whether to pin: several slots, and nobody else computes on this machine; a run that is pinned to a core which
/// another program uses would wait for it while other cores idle.
bool may_pin(const LauncherOptions& options, const Machine& machine, const std::vector<Slot>& slots);

/// Gives each slot cores of its own out of the reservation, as far as it reaches.
void pin_slots(std::vector<Slot>& slots, const Machine& machine, const CoreReservation& reservation);

/// The environment that keeps a run within its slot.
std::vector<std::pair<std::string, std::string>> slot_environment(const Slot& slot);

}  // namespace mneme::launch
