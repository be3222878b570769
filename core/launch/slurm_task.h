#pragma once

#include <filesystem>
#include <string>

namespace mneme::launch {

/// Inside a task of a job array: does the run that belongs to the task, and stops it in time when Slurm warns of the
/// limit (then puts the task back into the queue, within the budget) or ends the task.
/// \param token the submission; the task's index comes from SLURM_ARRAY_TASK_ID.
/// \return the task's exit code: 0 if the run is done or was put back, 1 otherwise.
int run_slurm_task(const std::filesystem::path& sweep_directory, const std::string& token);

}  // namespace mneme::launch
