#include "tools/cli/light/complete_overrides.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/config/sweep.h"
#include "tools/cli/light/config_groups.h"

namespace mneme::cli {
using config::Node;
using config::Override;

namespace {
constexpr std::size_t kMostVariants = 24;  // of a swept group that are composed

/// The experiment as composed with each option of the groups that are swept, so that the keys of all are known.
class Variants {
 public:
  explicit Variants(const config::Request& request) : composer_(request) {
    for (const std::string& text : request.overrides) take(text);
    compose(fixed_);
    if (found_.empty()) {  // some override does not fit: leave out those that do not
      std::vector<Override> kept;
      for (const Override& override : fixed_) {
        kept.push_back(override);
        if (!composes(kept)) kept.pop_back();
      }
      fixed_ = std::move(kept);
      compose(fixed_);
    }
    if (found_.empty()) return;
    take_sweep_of(found_[0].config);
    for (const Override& axis : axes_) add_options(axis);
  }

  const std::vector<config::Composition>& found() const { return found_; }

 private:
  void take(const std::string& text) {
    try {
      config::OverrideOptions options = config::default_override_options();
      options.task_orders = true;
      const Override override = config::parse_override(text, options);
      (override.is_sweep() ? axes_ : fixed_).push_back(override);
    } catch (const Error&) {  // half-written
    }
  }

  void take_sweep_of(const Node& root) {
    const Node* sweep = root.find("sweep");
    if (sweep == nullptr || !sweep->is_map()) return;
    try {
      for (const auto& block : config::read_sweep_blocks(*sweep))
        for (const auto* axes : {&block.grid, &block.zip}) axes_.insert(axes_.end(), axes->begin(), axes->end());
    } catch (const Error&) {
    }
  }

  bool composes(const std::vector<Override>& overrides) {
    try {
      composer_.compose_leniently(overrides);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  void compose(const std::vector<Override>& overrides) {
    if (found_.size() >= kMostVariants) return;
    try {
      found_.push_back(composer_.compose_leniently(overrides));
    } catch (const Error&) {
    }
  }

  void add_options(const Override& axis) {
    if (!composer_.is_group(axis.key)) return;
    config::SweepContext context;
    context.group_options = [this](const std::string& group) { return composer_.group_options(group); };
    try {
      for (const Override& option : config::expand_override(axis, context)) {
        std::vector<Override> overrides = fixed_;
        overrides.push_back(option);
        compose(overrides);
      }
    } catch (const Error&) {
    }
  }

  config::Composer composer_;
  std::vector<Override> fixed_, axes_;
  std::vector<config::Composition> found_;
};

/// The word in its parts: "+", "train.", "lr".
struct Word {
  explicit Word(const std::string& text) {
    const auto start = text.find_first_not_of("+~");
    prefix = text.substr(0, start);
    key = start == text.npos ? "" : text.substr(start);
    const auto equals = key.find('=');
    has_value = equals != key.npos;
    if (has_value) {
      value = key.substr(equals + 1);
      key.resize(equals);
    }
  }
  bool deletes() const { return prefix == "~"; }

  std::string prefix, key, value;
  bool has_value = false;
};

std::string without_package(const std::string& group) { return group.substr(0, group.find('@')); }

class Completer {
 public:
  Completer(const config::Request& request, const std::string& word)
      : repository_(request), variants_(request), word_(word) {}

  std::vector<Candidate> candidates() {
    if (word_.has_value) {
      values();
    } else {
      groups();
      for (const auto& composition : variants_.found()) {
        keys(composition.config, "");
        if (word_.key.starts_with("hydra.")) keys(composition.hydra, "hydra.");
      }
    }
    std::vector<Candidate> result;
    for (auto& [text, note] : found_) result.push_back({text, note});
    return result;
  }

 private:
  void offer(const std::string& rest, const std::string& note) { found_.emplace(word_.prefix + rest, note); }

  /// The groups that are chosen, and with '+' those that are not.
  void groups() {
    const std::string ending = word_.deletes() ? "" : "=";
    std::vector<std::string> chosen;
    for (const auto& composition : variants_.found()) {
      for (const auto& [group, option] : composition.choices) {
        chosen.push_back(without_package(group));
        if (word_.prefix != "+" && group.starts_with(word_.key)) offer(group + ending, "group: " + option);
      }
    }
    if (word_.prefix != "+") return;
    for (const std::string& group : repository_.group_names())
      if (group.starts_with(word_.key) && std::find(chosen.begin(), chosen.end(), group) == chosen.end())
        offer(group + "=", "group");
  }

  /// Keys that begin with what is written, not deeper than it goes.
  void keys(const Node& map, const std::string& path) {
    if (!map.is_map()) return;
    for (const auto& [key, value] : map.entries()) {
      const std::string name = path + key;
      if (value.is_map() && word_.key.starts_with(name + ".")) {
        keys(value, name + ".");
      } else if (name.starts_with(word_.key)) {
        if (value.is_map()) offer(name + ".", "");
        if (!value.is_map() && word_.prefix != "+") offer(name + (word_.deletes() ? "" : "="), config::describe(value));
      }
    }
  }

  /// Behind '=', the options of a group (further ones behind commas) or the value that the key has now.
  void values() {
    const std::string group = without_package(word_.key);
    const std::string head = word_.key + "=";
    if (repository_.group_exists(group)) {
      const auto last = word_.value.find_last_of(",[(");
      const std::string before = last == std::string::npos ? "" : word_.value.substr(0, last + 1);
      for (const std::string& option : group_options(repository_, group))
        if ((before + option).starts_with(word_.value)) offer(head + before + option, "");
      return;
    }
    for (const auto& composition : variants_.found()) {
      const Node* node = value_at(composition, word_.key);
      if (node == nullptr || node->is_container()) continue;
      std::vector<std::string> texts = {config::element_text(config::to_element(*node))};
      if (node->is_bool()) texts = {"true", "false"};
      for (const std::string& text : texts)
        if (text.starts_with(word_.value)) offer(head + text, "");
    }
  }

  static const Node* value_at(const config::Composition& composition, const std::string& key) {
    const bool hydra = key.starts_with("hydra.");
    const Node* node = hydra ? &composition.hydra : &composition.config;
    for (std::size_t start = hydra ? 6 : 0; node != nullptr && start <= key.size();) {
      const auto end = std::min(key.find('.', start), key.size());
      node = node->is_map() ? node->find(key.substr(start, end - start)) : nullptr;
      start = end + 1;
    }
    return node;
  }

  config::Repository repository_;
  Variants variants_;
  Word word_;
  std::map<std::string, std::string> found_;
};
}  // namespace

std::vector<Candidate> complete_override(config::Request request, const std::string& word) {
  try {
    return Completer(request, word).candidates();
  } catch (const Error&) {  // no such experiment, or one that cannot be read
    return {};
  }
}

}  // namespace mneme::cli
