#include "core/launch/cost.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <queue>

#include "core/base/build_info.h"
#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr std::size_t kKept = 20;  // rates per place and kind

std::string key_of(const RunFacts& facts, const std::string& place) { return place + " | " + facts.work_kind; }

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class T>
T number(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<T>() : T{0};
}

}  // namespace

std::vector<RunFacts> read_facts(const std::string& text) {
  std::vector<RunFacts> result;
  const Json list = Json::parse(text, nullptr, false);
  if (!list.is_array()) return result;
  for (const auto& item : list) {
    RunFacts facts;
    if (item.is_object()) {
      if (item.contains("id") && item["id"].is_string()) facts.id = item["id"].get<std::string>();
      if (item.contains("work_kind") && item["work_kind"].is_string())
        facts.work_kind = item["work_kind"].get<std::string>();
      facts.work = std::max(0.0, number<double>(item, "work"));
      facts.memory_bytes = number<std::int64_t>(item, "memory_bytes");
      facts.disk_bytes = number<std::int64_t>(item, "disk_bytes");
    }
    result.push_back(std::move(facts));
  }
  return result;
}

Calibration::Calibration(fs::path file) : file_(std::move(file)), rates_(read(file_)) {}

fs::path Calibration::default_file() { return cache_directory() / "calibration.json"; }

Calibration::Rates Calibration::read(const fs::path& file) {
  Rates rates;
  std::ifstream in(file);
  const Json json = in ? Json::parse(in, nullptr, false) : Json();
  if (!json.is_object()) return rates;
  for (const auto& [key, values] : json.items()) {
    if (!values.is_array()) continue;
    for (const auto& value : values) {
      if (value.is_number()) rates[key].push_back(value.get<double>());
    }
  }
  return rates;
}

std::optional<double> Calibration::seconds(const RunFacts& facts, const std::string& place) const {
  const auto known = rates_.find(key_of(facts, place));
  if (facts.work <= 0 || known == rates_.end() || known->second.empty()) return std::nullopt;
  return median(known->second) * facts.work;
}

void Calibration::learn(const RunFacts& facts, const std::string& place, double seconds) {
  if (facts.work <= 0 || !(seconds > 0)) return;
  const std::string key = key_of(facts, place);
  rates_[key].push_back(seconds / facts.work);
  learnt_[key].push_back(seconds / facts.work);
}

void Calibration::save() {
  if (learnt_.empty()) return;
  fs::create_directories(file_.parent_path());
  const int lock = ::open((file_.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock >= 0) ::flock(lock, LOCK_EX);
  rates_ = read(file_);
  for (const auto& [key, values] : learnt_) {
    auto& all = rates_[key];
    all.insert(all.end(), values.begin(), values.end());
    if (all.size() > kKept) all.erase(all.begin(), all.end() - kKept);
  }
  write_file_atomically(file_, Json(rates_).dump(1) + "\n");
  learnt_.clear();
  if (lock >= 0) ::close(lock);
}

std::string calibration_place(const LauncherOptions& options) {
  const std::string gpus = options.all_gpus || !options.gpus.empty() ? ", GPU" : "";
  if (options.name == "slurm") {
    return fmt::format("slurm {}, {} thread(s){}", options.slurm.partition, std::max(1, options.threads), gpus);
  }
  return fmt::format("{}, {} thread(s){}", cpu_name(), std::max(1, options.threads), gpus);
}

PlanCost plan_cost(const std::vector<RunFacts>& facts, const std::vector<std::optional<double>>& seconds,
                   std::size_t jobs) {
  PlanCost cost;
  for (const auto& run : facts) {
    cost.memory_bytes = std::max(cost.memory_bytes, run.memory_bytes);
    cost.disk_bytes += run.disk_bytes;
  }
  // Runs start in order as slots become free.
  std::priority_queue<double, std::vector<double>, std::greater<>> slots;
  for (std::size_t i = 0; i < std::max<std::size_t>(1, jobs); ++i) slots.push(0);
  double end = 0;
  for (const auto& run : seconds) {
    if (!run) continue;
    cost.run_seconds += *run;
    ++cost.known;
    const double finished = slots.top() + *run;
    slots.pop();
    slots.push(finished);
    end = std::max(end, finished);
  }
  if (cost.known == seconds.size() && !seconds.empty()) cost.wall_seconds = end;
  return cost;
}

}  // namespace mneme::launch
