#include "core/config/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/hydra_settings.h"
#include "core/config/sweep.h"
#include "core/config/where.h"

namespace mneme::config {

namespace {
constexpr std::size_t kMostRuns = 100'000;
constexpr int kMostInnerSweeps = 4;

// Expands one request.
class Planner {
 public:
  explicit Planner(const Request& request) : request_(request), composer_(request) {}

  Plan run() {
    parse_command_line();
    std::vector<Override> fixed;
    for (const Override& override : given_)
      if (!override.is_sweep()) fixed.push_back(override);
    const Composition top = composer_.compose_leniently(fixed);
    plan_.warnings = top.warnings;
    for (const std::string& warning : directory_warnings(top.hydra)) note(warning);
    const Node* sweep = sweep_of(top.config);
    if (sweep) plan_.sweep = *sweep;
    const SweepSettings settings = sweep ? read_sweep_settings(*sweep) : SweepSettings{};
    dedup_ = settings.dedup;
    plan_.name = settings.name.empty() ? composer_.primary_name() : settings.name;
    const bool multirun = request_.multirun || is_multirun(top.hydra);
    plan_.is_sweep = sweep || multirun;
    if (!plan_.is_sweep) refuse_sweeps();
    Layer layer{settings, given_, sweep ? *sweep : Node(), {}, 0};
    const Node* params = hydra_params(top);
    if (multirun && params) layer.axes = read_axes(*params, "hydra.sweeper.params");
    layer.axes.insert(layer.axes.end(), params_.begin(), params_.end());
    expand(layer);
    if (plan_.runs.empty() && !settings.allow_empty)  // deviation D1
      throw ConfigError(
          fmt::format("{}: the sweep has no runs: a range, glob or where leaves nothing; "
                      "sweep.allow_empty=true takes that",
                      request_.file.string()));
    return std::move(plan_);
  }

 private:
  // One level of expansion: what the command line or an outer run gives, and the sweep that is found there.
  struct Layer {
    SweepSettings settings;
    std::vector<Override> given;
    Node sweep;                  // null if there is none
    std::vector<Override> axes;  // of hydra.sweeper.params
    int level = 0;
  };

  static const Node* sweep_of(const Node& config) {
    const Node* sweep = config.find("sweep");
    return sweep && !sweep->is_null() ? sweep : nullptr;
  }

  static const Node* hydra_params(const Composition& composition) {
    const Node* params = at_path(composition.hydra, {"sweeper", "params"});
    return params && params->is_map() ? params : nullptr;
  }

  static void refuse_unsweepable(const Override& override) {
    const std::string head = override.key.substr(0, override.key.find_first_of("./"));
    if (head == "hydra" || head == "launcher" || head == "sweep")  // deviation D18
      throw ConfigError(
          located(override, fmt::format("'{}' cannot be swept: it says how runs are started, not what they do", head)));
  }

  void parse_command_line() {
    OverrideOptions options = default_override_options();
    options.task_orders = true;
    for (const std::string& text : request_.overrides) {
      Override override = parse_override(text, options);
      ++options.number;
      if (override.is_sweep()) {
        refuse_unsweepable(override);
      } else if (override.key.starts_with("sweep.") && override.type == OverrideType::kChange) {
        override.type = OverrideType::kForceAdd;  // the block's settings need not be written in the file
      } else if (override.key.starts_with("hydra.sweeper.params.") && override.type != OverrideType::kDelete) {
        params_override(override);
        continue;
      }
      remember(std::move(override));
    }
  }

  // The last override of a key counts, at the place of the first.
  void remember(Override override) {
    for (Override& earlier : given_)
      if (earlier.key_element() == override.key_element()) {
        earlier = std::move(override);
        return;
      }
    given_.push_back(std::move(override));
  }

  // +hydra.sweeper.params.seed="1,2" on the command line sweeps seed.
  void params_override(const Override& override) {
    const std::string key = override.key.substr(std::string_view("hydra.sweeper.params.").size());
    Node map = Node::map();
    map.set(key, to_node(override.value));
    for (Override& axis : read_axes(map, "hydra.sweeper.params")) {
      refuse_unsweepable(axis);
      axis.position = override.position;
      params_.push_back(axis);
    }
  }

  void refuse_sweeps() const {
    if (!params_.empty()) throw ConfigError(located(params_[0], "this is a sweep: add -m (--multirun)"));
    const bool any = std::any_of(given_.begin(), given_.end(), [](const Override& o) { return o.is_sweep(); });
    if (!any) return;
    Request request = request_;
    request.multirun = false;
    mneme::config::compose(request);  // throws, explaining the first
  }

  SweepContext context(const std::vector<Override>& fixed, std::int64_t seed) {
    SweepContext result;
    result.seed = seed;
    result.group_options = [this](const std::string& group) { return composer_.group_options(group); };
    result.composed_value = [this, fixed](const std::string& key) {
      const Composition composed = composer_.compose_leniently(fixed);
      ResolveOptions options;
      options.allow_missing = true;
      const Node root = mneme::config::resolve(composed, options);
      const auto found = Resolver(root).select(key);
      if (!found) throw ConfigError(fmt::format("there is no key '{}'", key));
      return *found->node;
    };
    return result;
  }

  static bool same_key(const Override& a, const Override& b) { return a.full_key() == b.full_key(); }

  // The axes of a block in the order of a run's overrides: those of the file, then what is given, where it does not
  // take the place of one of the file.
  SweepBlock make_block(const Layer& layer, const ParsedBlock& parsed, const SweepContext& sweep_context) {
    SweepBlock block;
    block.where = parsed.where;
    block.where_position = parsed.where_position;
    std::set<const Override*> placed;
    const auto add = [&](const Override& override, bool zipped) {
      const Override* replacement = nullptr;
      for (const Override& given : layer.given)
        if (same_key(given, override)) placed.insert(replacement = &given);
      Override axis = replacement ? *replacement : override;
      if (replacement && axis.type == OverrideType::kChange) axis.type = override.type;
      refuse_unsweepable(axis);
      block.axes.push_back({axis, expand_override(axis, sweep_context), zipped && !replacement, block.axes.size()});
    };
    for (const Override& override : layer.axes) add(override, false);
    for (const Override& override : parsed.grid) add(override, false);
    for (const Override& override : parsed.zip) add(override, true);
    for (const Override& given : layer.given)
      if (!placed.contains(&given))
        block.axes.push_back({given, expand_override(given, sweep_context), false, block.axes.size()});
    check_zip(block);
    apply_order(block, layer.settings.order);
    return block;
  }

  static void check_zip(const SweepBlock& block) {
    const SweepAxis* first = nullptr;
    for (const SweepAxis& axis : block.axes) {
      if (!axis.zipped) continue;
      if (!first) first = &axis;
      if (axis.values.size() != first->values.size())
        throw ConfigError(fmt::format("{}: the zipped keys '{}' ({} values) and '{}' ({} values) differ in length",
                                      to_string(axis.key.position), first->key.full_key(), first->values.size(),
                                      axis.key.full_key(), axis.values.size()));
    }
  }

  static void apply_order(SweepBlock& block, const std::vector<std::string>& order) {
    const auto rank = [&](const SweepAxis& axis) {
      return std::find(order.begin(), order.end(), axis.key.full_key()) - order.begin();
    };
    std::stable_sort(block.axes.begin(), block.axes.end(),
                     [&](const SweepAxis& a, const SweepAxis& b) { return rank(a) < rank(b); });
  }

  // Overrides of all runs of a sweep, less those that are given anew.
  static std::vector<Override> base_of(const Layer& layer) {
    std::vector<Override> base;
    OverrideOptions options = default_override_options();
    options.file = "sweep.base";
    for (const std::string& text : layer.settings.base) {
      Override override = parse_override(text, options);
      ++options.number;
      if (override.is_sweep()) throw ConfigError(located(override, "an override in sweep.base cannot be a sweep"));
      const auto same = [&](const Override& given) { return same_key(given, override); };
      if (std::none_of(layer.given.begin(), layer.given.end(), same)) base.push_back(std::move(override));
    }
    return base;
  }

  [[noreturn]] void fail_too_many() const {
    throw ConfigError(fmt::format("{}: the sweep has more than {} runs", request_.file.string(), kMostRuns));
  }

  void expand(const Layer& layer) {
    if (layer.level > kMostInnerSweeps) throw ConfigError("sweeps inside of sweeps are nested too deeply");
    const std::vector<Override> base = base_of(layer);
    std::vector<ParsedBlock> blocks;
    if (layer.sweep.is_map()) blocks = read_sweep_blocks(layer.sweep);
    const bool swept =
        std::any_of(layer.given.begin(), layer.given.end(), [](const Override& o) { return o.is_sweep(); });
    if (layer.sweep.is_map() && blocks.empty() && !swept && layer.axes.empty())
      throw ConfigError(fmt::format("{}: sweep: the block sweeps nothing; give it a grid, a zip or blocks",
                                    to_string(layer.sweep.position())));
    if (blocks.empty()) blocks.emplace_back();
    std::vector<Override> fixed = base;
    for (const Override& given : layer.given)
      if (!given.is_sweep()) fixed.push_back(given);
    const SweepContext sweep_context = context(fixed, layer.settings.seed);
    for (const ParsedBlock& parsed : blocks) {
      const SweepBlock block = make_block(layer, parsed, sweep_context);
      if (count_combinations(block, kMostRuns) > kMostRuns) fail_too_many();
      for_each_combination(block, [&](const std::vector<const Override*>& assignment) {
        std::vector<const Override*> ordered(assignment.size());
        for (std::size_t i = 0; i < assignment.size(); ++i) ordered[block.axes[i].place] = assignment[i];
        std::vector<Override> overrides;
        for (const Override& override : base) {
          const auto same = [&](const Override* other) { return same_key(*other, override); };
          if (std::none_of(ordered.begin(), ordered.end(), same)) overrides.push_back(override);
        }
        for (const Override* override : ordered) overrides.push_back(*override);
        take(overrides, block, layer);
      });
    }
  }

  void take(const std::vector<Override>& overrides, const SweepBlock& block, const Layer& layer) {
    std::optional<Composition> composed;
    const auto compose_once = [&]() -> const Composition& {
      if (!composed) composed = compose_run(overrides);
      return *composed;
    };
    if (!block.where.empty() && !is_wanted(block, overrides, compose_once)) return;
    const Composition& composition = compose_once();
    const Node* inner = sweep_of(composition.config);
    if (!inner || *inner == layer.sweep) return add_run(overrides, composition);
    plan_.is_sweep = true;  // a chosen config brings its own sweep
    expand({read_sweep_settings(*inner), overrides, *inner, {}, layer.level + 1});
  }

  Composition compose_run(const std::vector<Override>& overrides) {
    try {
      return composer_.compose(overrides);
    } catch (Error& e) {
      if (plan_.is_sweep) e.add_context(fmt::format("composing the run {}", fmt::join(texts(overrides), " ")));
      throw;
    }
  }

  static std::vector<std::string> texts(const std::vector<Override>& overrides) {
    std::vector<std::string> result;
    for (const Override& override : overrides) result.push_back(run_text(override));
    return result;
  }

  // As Hydra writes a job's override: values in Python's words. A bare ~key stays bare (deviation D13).
  static std::string run_text(const Override& override) {
    if (override.value_type == ValueType::kNone) return override.key_element();
    return fmt::format("{}={}", override.key_element(), element_text(override.value));
  }

  template <class F>
  bool is_wanted(const SweepBlock& block, const std::vector<Override>& overrides, F&& compose_once) {
    std::vector<std::unique_ptr<Node>> kept;
    Node root;
    const auto look_up = [&](const std::string& key) -> const Node* {
      for (const Override& override : overrides)
        if (override.full_key() == key && override.type != OverrideType::kDelete)
          return kept.emplace_back(std::make_unique<Node>(to_node(override.value))).get();
      const Composition& composition = compose_once();
      for (const auto& [group, option] : composition.choices)
        if (group == key) return kept.emplace_back(std::make_unique<Node>(Node::string(option))).get();
      if (root.is_null()) {
        ResolveOptions options;
        options.allow_missing = true;
        root = mneme::config::resolve(composition, options);
      }
      try {
        const auto found = Resolver(root).select(key);
        if (found) return kept.emplace_back(std::make_unique<Node>(*found->node)).get();
      } catch (const ConfigError&) {
      }
      return nullptr;
    };
    try {
      return holds(block.where, look_up);
    } catch (const ConfigError& e) {
      throw ConfigError(fmt::format("{}: {}", to_string(block.where_position), e.message()));
    }
  }

  void add_run(const std::vector<Override>& overrides, const Composition& composition) {
    if (plan_.runs.size() >= kMostRuns) fail_too_many();
    PlannedRun run;
    run.overrides = texts(overrides);
    run.config = composition.config;
    run.config.erase("sweep");
    Composition bare;
    bare.config = run.config;
    bare.hydra = composition.hydra;
    if (Node* job = bare.hydra.is_map() ? bare.hydra.find("job") : nullptr; job && job->is_map())
      job->set("num", Node::integer(static_cast<std::int64_t>(plan_.runs.size())));
    try {
      ResolveOptions options;
      options.warnings = &plan_.warnings;
      run.resolved = mneme::config::resolve(bare, options);
    } catch (Error& e) {
      if (plan_.is_sweep) e.add_context(fmt::format("resolving the run {}", fmt::join(run.overrides, " ")));
      throw;
    }
    run.id = run_id(run.resolved);
    for (const std::string& warning : composition.warnings) note(warning);
    const auto [first, is_new] = seen_.emplace(run.id, run.overrides);
    if (!is_new) {
      const int repeat = ++repeats_[run.id];
      note(fmt::format("the runs [{}] and [{}] are the same{}", fmt::join(first->second, " "),
                       fmt::join(run.overrides, " "),
                       dedup_ ? "; the second is left out" : " (sweep.dedup=true leaves one of them out)"));
      if (dedup_) return;
      run.id = run_id(run.resolved, repeat);
    }
    run.hydra = std::move(bare.hydra);
    run.index = static_cast<std::int64_t>(plan_.runs.size());
    plan_.runs.push_back(std::move(run));
  }

  void note(const std::string& warning) {
    if (std::find(plan_.warnings.begin(), plan_.warnings.end(), warning) == plan_.warnings.end())
      plan_.warnings.push_back(warning);
  }

  const Request& request_;
  Composer composer_;
  Plan plan_;
  bool dedup_ = false;
  std::vector<Override> given_;   // on the command line, each key once
  std::vector<Override> params_;  // hydra.sweeper.params on the command line
  std::map<std::string, std::vector<std::string>> seen_;
  std::map<std::string, int> repeats_;
};
}  // namespace

Plan plan(const Request& request) { return Planner(request).run(); }

}  // namespace mneme::config
