#include "core/launch/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme::launch {
using Json = nlohmann::json;

namespace {

/// Typed access to the section with messages that name the key.
class Section {
 public:
  explicit Section(const Json& json) : json_(json) {}

  void integer(const char* key, int least, int& value) const {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_number_integer()) fail(key, *found, "an integer");
    const auto number = found->get<std::int64_t>();
    if (number < least || number > 1'000'000) fail(key, *found, fmt::format("an integer of at least {}", least));
    value = static_cast<int>(number);
  }

  void boolean(const char* key, bool& value) const {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_boolean()) fail(key, *found, "true or false");
    value = found->get<bool>();
  }

  void real(const char* key, double& value) const {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_number() || !(found->get<double>() > 0)) fail(key, *found, "a number above 0");
    value = found->get<double>();
  }

  void text(const char* key, std::string& value) const {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_number_integer()) {
      value = found->dump();
    } else if (found->is_string()) {
      value = found->get<std::string>();
    } else {
      fail(key, *found, "a text");
    }
    if (value.find('\n') != value.npos) fail(key, *found, "a text of one line");
  }

  void choice(const char* key, const std::vector<std::string>& known, std::string& value) const {
    text(key, value);
    if (std::find(known.begin(), known.end(), value) == known.end()) {
      throw ConfigError(fmt::format("launcher.{}: unknown value '{}'{}", key, value, hint(value, known)));
    }
  }

  void lines(const char* key, std::vector<std::string>& value) const {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_array()) fail(key, *found, "a list of texts");
    value.clear();
    for (const auto& item : *found) {
      if (!item.is_string()) fail(key, item, "a list of texts");
      value.push_back(item.get<std::string>());
    }
  }

  void bytes(const char* key, std::int64_t& value) const {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_string() && !found->is_number()) fail(key, *found, "a size such as 8G");
    value = parse_bytes(found->is_string() ? found->get<std::string>() : found->dump(), fmt::format("launcher.{}", key));
  }

  /// A count, a list of device ids, or "all".
  void gpus(LauncherOptions& options) const {
    const Json* found = find("gpus");
    if (found == nullptr) return;
    const std::string expected = "a number of devices, a list of device ids, or all";
    options.gpus.clear();
    if (found->is_number_integer() && found->get<std::int64_t>() >= 0 && found->get<std::int64_t>() <= 1024) {
      for (int i = 0; i < found->get<int>(); ++i) options.gpus.push_back(std::to_string(i));
    } else if (found->is_array()) {
      for (const auto& item : *found) {
        if (!item.is_number_integer() && !item.is_string()) fail("gpus", item, expected);
        options.gpus.push_back(item.is_string() ? item.get<std::string>() : item.dump());
      }
    } else if (found->is_string() && found->get<std::string>() == "all") {
      options.all_gpus = true;
    } else {
      fail("gpus", *found, expected);
    }
  }

 private:
  const Json* find(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }

  [[noreturn]] static void fail(const char* key, const Json& found, const std::string& expected) {
    throw ConfigError(fmt::format("launcher.{}: found {}; expected {}", key, found.dump(), expected));
  }

  const Json& json_;
};

void check_keys(const Json& section) {
  std::vector<std::string> known;
  for (const auto& spec : launcher_params()) known.push_back(spec.key);
  for (const auto& [key, value] : section.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw ConfigError(fmt::format("launcher.{}: nothing reads this key{}", key, hint(key, known)));
    }
  }
}

}  // namespace

const ParamSpecs& launcher_params() {
  static const ParamSpecs specs{
      {"name", ParamType::kChoice, "local", "local|slurm", "where the runs are started"},
      {"jobs", ParamType::kInt, "null", ">= 1", "runs at the same time; null: as many as fit", true},
      {"threads", ParamType::kInt, "null", ">= 1", "threads of each run; null: the cores divided by the jobs", true},
      {"gpus", ParamType::kText, "null", "", "local: number of devices, list of ids or all; Slurm: devices per run", true},
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

LauncherOptions read_launcher_options(const Json& section) {
  LauncherOptions options;
  if (section.is_null()) return options;
  if (section.is_string()) return read_launcher_options(Json{{"name", section}});
  if (!section.is_object()) throw ConfigError(fmt::format("launcher: found {}; expected a mapping", section.dump()));
  check_keys(section);
  const Section read(section);
  read.choice("name", {"local", "slurm"}, options.name);
  read.integer("jobs", 1, options.jobs);
  read.integer("threads", 1, options.threads);
  read.gpus(options);
  read.integer("runs_per_gpu", 1, options.runs_per_gpu);
  read.bytes("memory", options.memory);
  read.boolean("pin", options.pin);
  read.real("stop_seconds", options.stop_seconds);
  SlurmOptions& slurm = options.slurm;
  read.text("partition", slurm.partition);
  read.text("account", slurm.account);
  read.text("qos", slurm.qos);
  read.text("constraint", slurm.constraint);
  read.text("time", slurm.time);
  read.lines("setup", slurm.setup);
  read.lines("sbatch", slurm.sbatch);
  read.integer("requeues", 0, slurm.requeues);
  read.integer("warning_seconds", 1, slurm.warning_seconds);
  read.choice("warning_signal", {"USR1", "USR2"}, slurm.warning_signal);
  return options;
}

std::int64_t parse_bytes(const std::string& text, const std::string& key) {
  std::size_t used = 0;
  double number = -1;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  std::string unit = text.substr(used);
  unit.erase(0, unit.find_first_not_of(' ') == unit.npos ? unit.size() : unit.find_first_not_of(' '));
  const std::string letters = "KMGT";
  const auto power = unit.empty() || unit == "B" ? std::string::npos : letters.find(static_cast<char>(std::toupper(unit[0])));
  const std::string rest = unit.empty() ? "" : unit.substr(1);
  const bool known = unit.empty() || unit == "B" || (power != letters.npos && (rest.empty() || rest == "B" || rest == "iB"));
  if (used == 0 || !known || !std::isfinite(number) || number < 0) {
    throw ConfigError(fmt::format("{}: found '{}'; expected a size such as 8G or 512M", key, text));
  }
  return static_cast<std::int64_t>(number * (power == letters.npos ? 1.0 : std::pow(1024.0, static_cast<double>(power + 1))));
}

std::string format_bytes(std::int64_t bytes) {
  constexpr double kStep = 1024;
  const auto value = static_cast<double>(bytes);
  if (value >= kStep * kStep * kStep) return fmt::format("{:.1f} GiB", value / (kStep * kStep * kStep));
  if (value >= kStep * kStep) return fmt::format("{:.0f} MiB", value / (kStep * kStep));
  return fmt::format("{:.0f} KiB", value / kStep);
}

}  // namespace mneme::launch
