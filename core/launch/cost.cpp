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
#include "core/launch/run_state.h"
#include "core/record/reader.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr std::size_t kKept = 20;  // runs per place, family and strategy

std::string key_of(const RunFacts& facts, const std::string& place) { return place + " | " + facts.family; }

/// The middle of the known values, nothing if there is none.
std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double ratio(double taken, double foreseen) { return taken > 0 && foreseen > 0 ? taken / foreseen : 0; }

template <class T>
T number(const Json& object, const char* key, T absent = T{0}) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<T>() : absent;
}

std::string text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

}  // namespace

std::vector<RunFacts> read_facts(const std::string& json) {
  std::vector<RunFacts> result;
  const Json list = Json::parse(json, nullptr, false);
  if (!list.is_array()) return result;
  for (const auto& item : list) {
    RunFacts facts;
    if (item.is_object()) {
      facts.id = text(item, "id");
      facts.strategy = text(item, "strategy");
      facts.family = text(item, "family");
      facts.train_work = std::max(0.0, number<double>(item, "train_work"));
      facts.eval_work = std::max(0.0, number<double>(item, "eval_work"));
      facts.first_work = std::max(0.0, number<double>(item, "first_work"));
      facts.memory_bytes = number<std::int64_t>(item, "memory_bytes");
      facts.disk_bytes = number<std::int64_t>(item, "disk_bytes");
      facts.recompute = item.value("recompute", Json(false)) == Json(true);
    }
    result.push_back(std::move(facts));
  }
  return result;
}

Calibration::Calibration(fs::path file) : file_(std::move(file)), known_(read(file_)) {}

fs::path Calibration::default_file() { return cache_directory() / "calibration.json"; }

Calibration::Observations Calibration::read(const fs::path& file) {
  Observations result;
  std::ifstream in(file);
  const Json json = in ? Json::parse(in, nullptr, false) : Json();
  if (!json.is_object()) return result;
  for (const auto& [key, runs] : json.items()) {
    if (!runs.is_array()) continue;
    for (const auto& run : runs) {
      if (!run.is_object()) continue;
      result[key].push_back({text(run, "strategy"), number<double>(run, "start_seconds", -1),
                             number<double>(run, "train"), number<double>(run, "eval"), number<double>(run, "memory"),
                             number<double>(run, "disk")});
    }
  }
  return result;
}

std::string Calibration::to_json(const Observations& observations) {
  Json json = Json::object();
  for (const auto& [key, runs] : observations) {
    for (const auto& run : runs)
      json[key].push_back({{"strategy", run.strategy},
                           {"start_seconds", run.start_seconds},
                           {"train", run.train},
                           {"eval", run.eval},
                           {"memory", run.memory},
                           {"disk", run.disk}});
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Prediction Calibration::predict(const RunFacts& facts, const std::string& place) const {
  Prediction prediction{std::nullopt, false, facts.memory_bytes, facts.disk_bytes};
  const auto found = known_.find(key_of(facts, place));
  if (found == known_.end()) return prediction;
  const auto is_own = [&](const Observation& run) { return run.strategy == facts.strategy; };
  prediction.rough = std::none_of(found->second.begin(), found->second.end(), is_own);
  const auto typical = [&](double Observation::*member, double least) {
    std::vector<double> values;
    for (const Observation& run : found->second)
      if ((prediction.rough || is_own(run)) && run.*member > least) values.push_back(run.*member);
    return median(std::move(values));
  };
  const auto train = typical(&Observation::train, 0), eval = typical(&Observation::eval, 0);
  if (train && eval && facts.train_work > 0) {
    prediction.seconds = typical(&Observation::start_seconds, -1).value_or(0) + *train * facts.train_work +
                         *eval * (facts.eval_work + facts.first_work);
  }
  const auto scaled = [](std::int64_t foreseen, double by) {
    return static_cast<std::int64_t>(static_cast<double>(foreseen) * by);
  };
  prediction.memory_bytes = scaled(facts.memory_bytes, typical(&Observation::memory, 0).value_or(1));
  prediction.disk_bytes = scaled(facts.disk_bytes, typical(&Observation::disk, 0).value_or(1));
  return prediction;
}

void Calibration::learn(const RunFacts& facts, const std::string& place, const Measured& measured) {
  Observation run;
  run.strategy = facts.strategy;
  run.train = ratio(measured.train_seconds, facts.train_work);
  run.eval = ratio(measured.eval_seconds, facts.eval_work);
  if (measured.seconds > 0)
    run.start_seconds =
        std::max(0.0, measured.seconds - measured.train_seconds - measured.eval_seconds - run.eval * facts.first_work);
  run.memory = ratio(static_cast<double>(measured.peak_bytes), static_cast<double>(facts.memory_bytes));
  run.disk = ratio(static_cast<double>(measured.disk_bytes), static_cast<double>(facts.disk_bytes));
  learnt_[key_of(facts, place)].push_back(run);
  known_[key_of(facts, place)].push_back(run);
}

void Calibration::save() {
  if (learnt_.empty()) return;
  fs::create_directories(file_.parent_path());
  const int lock = ::open((file_.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock >= 0) ::flock(lock, LOCK_EX);
  known_ = read(file_);
  for (const auto& [key, runs] : learnt_) {
    auto& all = known_[key];
    all.insert(all.end(), runs.begin(), runs.end());
    std::map<std::string, std::size_t> count;
    for (std::size_t i = all.size(); i-- > 0;)
      if (++count[all[i].strategy] > kKept) all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
  }
  write_file_atomically(file_, to_json(known_));
  learnt_.clear();
  if (lock >= 0) ::close(lock);
}

Measured measure_run(const fs::path& run_directory) {
  Measured measured;
  const auto attempt = read_attempt(run_directory);
  const auto ending = read_ending(run_directory);
  if (attempt && ending && attempt->number == 1) measured.seconds = ending->seconds;
  if (ending) measured.peak_bytes = ending->peak_bytes;
  try {
    for (const CostEvent& cost : record::Record(run_directory / "run.h5").costs()) {
      measured.train_seconds += cost.train_seconds;
      measured.eval_seconds += cost.eval_seconds;
    }
  } catch (const RecordError&) {
    return measured;  // nothing to learn from
  }
  std::error_code gone;
  for (const auto& entry : fs::recursive_directory_iterator(run_directory, gone))
    if (entry.is_regular_file(gone)) measured.disk_bytes += static_cast<std::int64_t>(entry.file_size(gone));
  return measured;
}

std::string calibration_place(const LauncherOptions& options) {
  const std::string gpus = options.all_gpus || !options.gpus.empty() ? ", GPU" : "";
  if (options.name == "slurm") {
    return fmt::format("slurm {}, {} thread(s){}", options.slurm.partition, std::max(1, options.threads), gpus);
  }
  return fmt::format("{}, {} thread(s){}", cpu_name(), std::max(1, options.threads), gpus);
}

PlanCost plan_cost(const std::vector<Prediction>& runs, std::size_t jobs) {
  PlanCost cost;
  // Runs start in order as slots become free.
  std::priority_queue<double, std::vector<double>, std::greater<>> slots;
  for (std::size_t i = 0; i < std::max<std::size_t>(1, jobs); ++i) slots.push(0);
  double end = 0;
  for (const Prediction& run : runs) {
    cost.memory_bytes = std::max(cost.memory_bytes, run.memory_bytes);
    cost.disk_bytes += run.disk_bytes;
    if (!run.seconds) continue;
    cost.run_seconds += *run.seconds;
    ++cost.known;
    const double finished = slots.top() + *run.seconds;
    slots.pop();
    slots.push(finished);
    end = std::max(end, finished);
  }
  if (cost.known == runs.size() && !runs.empty()) cost.wall_seconds = end;
  return cost;
}

}  // namespace mneme::launch
