#include "core/launch/slurm_script.h"

#include <fmt/format.h>

#include <cctype>

#include "core/base/hash.h"
#include "core/config/override.h"

namespace mneme::launch {
namespace fs = std::filesystem;

std::string slurm_job_name(const Settings& settings, const fs::path& sweep, const std::string& token) {
  std::string name;
  for (const char c : settings.experiment) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ? c : '-';
  }
  return fmt::format("mneme-{}-{}-{}", name, sha256_hex(fs::absolute(sweep).string()).substr(0, 8), token);
}

std::string slurm_script(const Settings& settings, const SlurmScript& script) {
  const LauncherOptions& options = settings.launcher;
  const SlurmOptions& slurm = options.slurm;
  const fs::path sweep = fs::absolute(script.sweep).lexically_normal();
  std::string text = "#!/bin/bash\n";
  const auto option = [&](const std::string& line) { text += fmt::format("#SBATCH {}\n", line); };
  const auto option_if = [&](const char* name, const std::string& value) {
    if (!value.empty()) option(fmt::format("--{}={}", name, value));
  };
  option("--job-name=" + script.job_name);
  option(fmt::format("--array=0-{}{}", script.tasks - 1, options.jobs > 0 ? fmt::format("%{}", options.jobs) : ""));
  option(fmt::format("--chdir=\"{}\"", settings.working_directory.string()));
  option(fmt::format("--output=\"{}/.mneme/slurm/%A_%a.out\"", sweep.string()));
  option("--open-mode=append");
  option("--requeue");
  option(fmt::format("--signal=B:{}@{}", slurm.warning_signal, slurm.warning_seconds));
  option("--ntasks=1");
  option(fmt::format("--cpus-per-task={}", options.threads > 0 ? options.threads : 1));
  if (options.memory > 0) option(fmt::format("--mem={}M", (options.memory + (1 << 20) - 1) >> 20));
  if (!options.gpus.empty()) option(fmt::format("--gres=gpu:{}", options.gpus.size()));
  option_if("partition", slurm.partition);
  option_if("account", slurm.account);
  option_if("qos", slurm.qos);
  option_if("constraint", slurm.constraint);
  option_if("time", slurm.time);
  for (const auto& line : slurm.sbatch) option(line);
  text += "set -e\n";
  for (const auto& line : slurm.setup) text += line + "\n";
  text += fmt::format("exec {} resume {} --slurm-task {}\n", config::shell_quoted(script.program.string()),
                      config::shell_quoted(sweep.string()), script.token);
  return text;
}

}  // namespace mneme::launch
