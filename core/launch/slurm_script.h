#pragma once

#include <filesystem>
#include <string>

#include "core/launch/settings.h"

namespace mneme::launch {

/// What differs between the submissions of one sweep.
struct SlurmScript {
  std::filesystem::path program;  ///< mneme
  std::filesystem::path sweep;    ///< the sweep's directory
  std::string job_name;           ///< unique among the sweep's submissions
  std::string token;              ///< the submission's number, which the tasks are told
  std::size_t tasks = 1;          ///< array indices 0 … tasks - 1
};

/// The batch script of a job array with one task per run, as sbatch reads it.
std::string slurm_script(const Settings& settings, const SlurmScript& script);

/// "mneme-<experiment>-<hash of the directory>-<token>": one name per submission.
std::string slurm_job_name(const Settings& settings, const std::filesystem::path& sweep, const std::string& token);

}  // namespace mneme::launch
