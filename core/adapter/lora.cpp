#include "core/adapter/lora.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "core/base/error.h"
#include "core/base/pattern.h"
#include "core/base/suggest.h"

namespace mneme {
namespace {

constexpr const char* kAllLinear = "all-linear";

/// "q_proj" of "model.layers.0.self_attn.q_proj".
std::string last_part(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::function<bool(const std::string&)> matcher(const std::string& target) {
  if (target == kAllLinear) return [](const std::string&) { return true; };
  if (is_pattern(target))
    return
        [pattern = std::make_shared<Pattern>(target)](const std::string& path) { return pattern->matches_whole(path); };
  return [target](const std::string& path) { return path == target || path.ends_with("." + target); };
}

/// What a pattern table says of a path, its first match in the order of the keys.
template <class Value>
class PatternTable {
 public:
  explicit PatternTable(const std::map<std::string, Value>& table) {
    for (const auto& [key, value] : table) entries_.emplace_back(Pattern("(.*\\.)?(" + key + ")"), value);
  }
  Value at(const std::string& path, Value otherwise) const {
    for (const auto& [pattern, value] : entries_)
      if (pattern.matches_whole(path)) return value;
    return otherwise;
  }

 private:
  std::vector<std::pair<Pattern, Value>> entries_;
};

[[noreturn]] void refuse_target(const std::string& target, const std::vector<model::LinearInfo>& linears) {
  std::set<std::string> known = {kAllLinear};
  for (const auto& linear : linears) known.insert(last_part(linear.name));
  throw Error(fmt::format("adapter target '{}' names no linear of the model{}", target,
                          hint(target, std::vector<std::string>(known.begin(), known.end()))));
}

}  // namespace

bool is_pattern(const std::string& target) {
  return std::any_of(target.begin(), target.end(),
                     [](unsigned char c) { return std::isalnum(c) == 0 && c != '_' && c != '.' && c != '-'; });
}

std::vector<LoraTarget> lora_targets(const LoraOptions& options, const std::vector<model::LinearInfo>& linears) {
  std::vector<bool> chosen(linears.size(), false);
  for (const std::string& target : options.targets) {
    const auto matches = matcher(target);
    bool any = false;
    for (std::size_t i = 0; i < linears.size(); ++i) {
      if (!matches(linears[i].name)) continue;
      any = true;
      chosen[i] = chosen[i] || linears[i].layer >= options.first_layer;
    }
    if (!any) refuse_target(target, linears);
  }
  const PatternTable<std::int64_t> ranks(options.rank_pattern);
  const PatternTable<double> alphas(options.alpha_pattern);
  std::vector<LoraTarget> targets;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (!chosen[i]) continue;
    const std::int64_t rank = ranks.at(linears[i].name, options.rank);
    if (rank < 1) throw Error(fmt::format("the rank of {} is {}; expected at least 1", linears[i].name, rank));
    const double alpha = alphas.at(linears[i].name, options.alpha), size = static_cast<double>(rank);
    targets.push_back({static_cast<std::int64_t>(i), rank, alpha / (options.rank_stabilised ? std::sqrt(size) : size)});
  }
  return targets;
}

}  // namespace mneme
