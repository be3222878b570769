#include "core/report/keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"

namespace mneme::report {

namespace {
bool ends_with_name(const std::string& key) { return key.size() > 5 && key.compare(key.size() - 5, 5, ".name") == 0; }

std::string short_key(const std::string& key) { return ends_with_name(key) ? key.substr(0, key.size() - 5) : key; }

bool is_irrelevant(const std::string& key) {
  const std::string group = key.substr(0, key.find('.'));
  return key == "seed" || group == "launcher" || group == "hydra";
}

/// Candidates with the keys that people name runs by first.
std::vector<std::string> ordered_keys(const std::set<std::string>& keys) {
  std::vector<std::string> order(keys.begin(), keys.end());
  std::stable_sort(order.begin(), order.end(), [](const std::string& a, const std::string& b) {
    const auto rank = [](const std::string& key) {
      return std::make_pair(!ends_with_name(key), std::count(key.begin(), key.end(), '.'));
    };
    return rank(a) < rank(b);
  });
  return order;
}

bool always_equals_seed(const std::string& key, const std::vector<const Result*>& runs) {
  return std::all_of(runs.begin(), runs.end(), [&](const Result* run) {
    const std::string& seed = run->value("seed");
    return !seed.empty() && run->value(key) == seed;
  });
}
}  // namespace

std::vector<std::string> known_keys(const std::vector<Result>& runs) {
  std::set<std::string> keys{"run_id"};
  for (const Result& run : runs)
    for (const auto& [key, value] : run.config) keys.insert(short_key(key));
  return {keys.begin(), keys.end()};
}

std::vector<std::string> values_of(const Result& run, const std::vector<std::string>& keys) {
  std::vector<std::string> values;
  for (const std::string& key : keys) values.push_back(run.value(key));
  return values;
}

std::vector<std::string> distinguishing_keys(const std::vector<const Result*>& runs,
                                             const std::vector<std::string>& given) {
  std::set<std::string> keys;
  for (const Result* run : runs)
    for (const auto& [key, value] : run->config)
      if (!is_irrelevant(key)) keys.insert(key);
  // Each run's class: runs that the keys chosen so far do not tell apart share one.
  std::map<std::vector<std::string>, std::size_t> classes;
  std::vector<std::size_t> of_run;
  for (const Result* run : runs)
    of_run.push_back(classes.try_emplace(values_of(*run, given), classes.size()).first->second);
  std::size_t count = classes.size();
  std::vector<std::string> chosen;
  for (const std::string& key : ordered_keys(keys)) {
    std::map<std::pair<std::size_t, std::string>, std::size_t> finer;
    std::vector<std::size_t> of_run_now;
    for (std::size_t i = 0; i < runs.size(); ++i)
      of_run_now.push_back(finer.try_emplace({of_run[i], runs[i]->value(key)}, finer.size()).first->second);
    if (finer.size() == count || always_equals_seed(key, runs)) continue;
    chosen.push_back(short_key(key));
    of_run = std::move(of_run_now);
    count = finer.size();
  }
  return chosen;
}

bool is_strategy_key(const std::string& key) { return key == "strategy" || key.rfind("strategy.", 0) == 0; }

std::pair<std::string, std::string> split_selector(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0)
    throw UsageError(fmt::format("'{}': expected KEY=VALUE, for instance strategy=seq", text));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

}  // namespace mneme::report
