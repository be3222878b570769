#include "core/launch/options.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/config/section.h"

namespace mneme::launch {

namespace {

/// The section with the group's rules on top: null stands for "not given", numbers have a least value.
class Reader {
 public:
  explicit Reader(const config::Section& section) : section_(section) {}

  void integer(const char* key, std::int64_t least, int& value) const {
    const auto found = section_.maybe_int64(key);
    if (!found) return;
    if (*found < least || *found > kMost)
      section_.fail(key, fmt::format("found {}; expected {} or more", *found, least));
    value = static_cast<int>(*found);
  }

  void real(const char* key, double& value) const {
    const auto found = section_.maybe_real(key);
    if (!found) return;
    if (!(*found > 0)) section_.fail(key, fmt::format("found {}; expected a number above 0", *found));
    value = *found;
  }

  /// Numbers are taken as texts too: time=90, constraint=2.
  void text(const char* key, std::string& value) const {
    if (section_.is_null(key)) return;
    const config::Node& node = section_.node(key);
    value = node.is_int() ? node.int_digits() : section_.text(key);
    if (value.find('\n') != value.npos) section_.fail(key, "expected a text of one line");
  }

  void bytes(const char* key, std::int64_t& value) const {
    if (section_.is_null(key)) return;
    const config::Node& node = section_.node(key);
    const std::string found = node.is_int() ? node.int_digits() : section_.text(key);
    const auto size = parse_bytes(found);
    if (!size) section_.fail(key, fmt::format("found '{}'; expected a size such as 8G or 512M", found));
    value = *size;
  }

  /// A count, a list of device ids, or "all".
  void gpus(LauncherOptions& options) const {
    if (section_.is_null("gpus")) return;
    const config::Node& node = section_.node("gpus");
    if (node.is_int() && node.as_int() >= 0 && node.as_int() <= kMostGpus) {
      for (std::int64_t i = 0; i < node.as_int(); ++i) options.gpus.push_back(std::to_string(i));
    } else if (node.is_list()) {
      for (const config::Node& item : node.items()) {
        if (!item.is_int() && !item.is_string()) fail_gpus(node);
        options.gpus.push_back(item.is_int() ? item.int_digits() : item.as_string());
      }
    } else if (node.is_string() && node.as_string() == "all") {
      options.all_gpus = true;
    } else {
      fail_gpus(node);
    }
  }

 private:
  static constexpr std::int64_t kMost = 1'000'000, kMostGpus = 1024;

  [[noreturn]] void fail_gpus(const config::Node& node) const {
    section_.fail("gpus", fmt::format("found {}; expected a number of devices, a list of device ids, or all",
                                      config::describe(node)));
  }

  const config::Section& section_;
};

}  // namespace

const ParamSpecs& launcher_params() {
  static const ParamSpecs specs{
      {"name", ParamType::kChoice, "local", "local|slurm", "where the runs are started"},
      {"jobs", ParamType::kInt, "null", ">= 1", "runs at the same time; null: as many as fit", true},
      {"threads", ParamType::kInt, "null", ">= 1", "threads of each run; null: the cores divided by the jobs", true},
      {"gpus", ParamType::kText, "null", "", "local: number of devices, list of ids or all; Slurm: devices per run",
       true},
      {"runs_per_gpu", ParamType::kInt, "1", ">= 1", "local: runs that share one device"},
      {"memory", ParamType::kText, "null", "", "memory that each run needs, such as 8G", true},
      {"pin", ParamType::kBool, "true", "", "local: each run keeps to cores of its own, where the machine is idle"},
      {"stop_seconds", ParamType::kReal, "20", "> 0", "patience with a run that was asked to stop before it is killed"},
      {"partition", ParamType::kText, "null", "", "Slurm partition", true},
      {"account", ParamType::kText, "null", "", "Slurm account", true},
      {"qos", ParamType::kText, "null", "", "Slurm quality of service", true},
      {"constraint", ParamType::kText, "null", "", "Slurm node features", true},
      {"time", ParamType::kText, "null", "", "Slurm time limit per run, such as '4:00:00'", true},
      {"setup", ParamType::kTextList, "[]", "", "Slurm: lines of shell before each run"},
      {"sbatch", ParamType::kTextList, "[]", "", "Slurm: further options of sbatch, such as --exclude=n3"},
      {"requeues", ParamType::kInt, "3", ">= 0", "Slurm: how often one run may be put back into the queue"},
      {"warning_seconds", ParamType::kInt, "120", ">= 1", "Slurm: how long before the limit a run is told to stop"},
      {"warning_signal", ParamType::kChoice, "USR1", "USR1|USR2", "Slurm: the signal that tells it"},
  };
  return specs;
}

LauncherOptions read_launcher_options(const config::Node& node) {
  LauncherOptions options;
  const config::Section section(node, "launcher");
  const Reader read(section);
  options.name = section.choice("name", {"local", "slurm"}, "local");
  read.integer("jobs", 1, options.jobs);
  read.integer("threads", 1, options.threads);
  read.gpus(options);
  read.integer("runs_per_gpu", 1, options.runs_per_gpu);
  read.bytes("memory", options.memory);
  options.pin = section.flag("pin", options.pin);
  read.real("stop_seconds", options.stop_seconds);
  SlurmOptions& slurm = options.slurm;
  read.text("partition", slurm.partition);
  read.text("account", slurm.account);
  read.text("qos", slurm.qos);
  read.text("constraint", slurm.constraint);
  read.text("time", slurm.time);
  slurm.setup = section.texts("setup", slurm.setup);
  slurm.sbatch = section.texts("sbatch", slurm.sbatch);
  read.integer("requeues", 0, slurm.requeues);
  read.integer("warning_seconds", 1, slurm.warning_seconds);
  slurm.warning_signal = section.choice("warning_signal", {"USR1", "USR2"}, slurm.warning_signal);
  section.finish();
  return options;
}

std::optional<std::int64_t> parse_bytes(const std::string& text) {
  double number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  std::string unit(end, text.data() + text.size());
  unit.erase(0, std::min(unit.find_first_not_of(' '), unit.size()));
  if (unit.empty() || unit == "B") return static_cast<std::int64_t>(number);
  constexpr std::string_view kUnits = "KMGT";
  const auto power = kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))));
  const std::string rest = unit.substr(1);
  if (power == kUnits.npos || !(rest.empty() || rest == "B" || rest == "iB")) return std::nullopt;
  return static_cast<std::int64_t>(number * std::pow(1024.0, static_cast<double>(power + 1)));
}

std::string format_bytes(std::int64_t bytes) {
  constexpr double kStep = 1024;
  const auto value = static_cast<double>(bytes);
  if (value >= kStep * kStep * kStep) return fmt::format("{:.1f} GiB", value / (kStep * kStep * kStep));
  if (value >= kStep * kStep) return fmt::format("{:.0f} MiB", value / (kStep * kStep));
  return fmt::format("{:.0f} KiB", value / kStep);
}

}  // namespace mneme::launch
