#include "core/config/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/sweep.h"
#include "core/config/where.h"

namespace mneme::config {

namespace {
constexpr std::size_t kMostRuns = 100'000;
constexpr int kMostInnerSweeps = 4;

std::string located(const Override& override, const std::string& what) {
  return fmt::format("{}: {}: {}", to_string(override.position), override.text, what);
}

// Expands one request.
class Planner {
 public:
  explicit Planner(const Request& request) : request_(request), composer_(request) {}

  Plan run() {
    parse_command_line();
    const Composition top = composer_.compose_leniently(fixed_);
    plan_.warnings = top.warnings;
    const Node* sweep = sweep_of(top.config);
    if (sweep) plan_.sweep = *sweep;
    settings_ = sweep ? read_sweep_settings(*sweep) : SweepSettings{};
    plan_.name = settings_.name.empty() ? composer_.primary_name() : settings_.name;
    const Node* mode = top.hydra.is_map() ? top.hydra.find("mode") : nullptr;
    const Node* params = hydra_params(top);
    const bool multirun = request_.multirun || (mode && mode->is_string() && mode->as_string() == "MULTIRUN");
    plan_.is_sweep = sweep || multirun;
    if (!plan_.is_sweep) refuse_sweeps();
    const std::vector<Override> file_axes =
        multirun && params ? read_axes(*params, "hydra.sweeper.params") : std::vector<Override>{};
    expand(fixed_, swept_, sweep ? *sweep : Node(), file_axes, 0);
    finish();
    return std::move(plan_);
  }

 private:
  static const Node* sweep_of(const Node& config) {
    const Node* sweep = config.find("sweep");
    return sweep && !sweep->is_null() ? sweep : nullptr;
  }

  static const Node* hydra_params(const Composition& composition) {
    const Node* sweeper = composition.hydra.is_map() ? composition.hydra.find("sweeper") : nullptr;
    const Node* params = sweeper && sweeper->is_map() ? sweeper->find("params") : nullptr;
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
    for (const Override& override : order_) (override.is_sweep() ? swept_ : fixed_).push_back(override);
  }

  // The last override of a key counts, at the place of the first.
  void remember(Override override) {
    for (Override& earlier : order_)
      if (earlier.key_element() == override.key_element()) {
        earlier = std::move(override);
        return;
      }
    order_.push_back(std::move(override));
  }

  // +hydra.sweeper.params.seed="1,2" on the command line sweeps seed.
  void params_override(const Override& override) {
    const std::string key = override.key.substr(std::string_view("hydra.sweeper.params.").size());
    Node map = Node::map();
    map.set(key, to_node(override.value));
    for (Override& axis : read_axes(map, "hydra.sweeper.params")) {
      refuse_unsweepable(axis);
      axis.position = override.position;
      remember(axis);
    }
  }

  void refuse_sweeps() const {
    if (swept_.empty()) return;
    Request request = request_;
    request.multirun = false;
    mneme::config::compose(request);  // throws, explaining the first
    throw ConfigError(located(swept_[0], "this is a sweep: add -m (--multirun) to run all of its values"));
  }

  SweepContext context(const std::vector<Override>& fixed) {
    SweepContext result;
    result.seed = settings_.seed;
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

  // An override of the command line takes the place of the file's axis of the same key.
  const Override* on_command_line(const Override& axis) const {
    const Override* found = nullptr;
    for (const Override& override : order_)
      if (same_key(override, axis)) found = &override;
    return found;
  }

  SweepAxis make_axis(const Override& override, bool zipped, const SweepContext& sweep_context) {
    refuse_unsweepable(override);
    SweepAxis axis{override, expand_override(override, sweep_context), zipped};
    warn_if_repeated(axis);
    return axis;
  }

  void warn_if_repeated(const SweepAxis&) {}

  SweepBlock make_block(const ParsedBlock& parsed, const std::vector<Override>& swept,
                        const SweepContext& sweep_context, std::set<std::string>& placed) {
    SweepBlock block;
    block.where = parsed.where;
    block.where_position = parsed.where_position;
    const auto add = [&](const Override& override, bool zipped) {
      if (const Override* given = on_command_line(override)) {
        Override replacement = *given;
        if (replacement.type == OverrideType::kChange) replacement.type = override.type;
        placed.insert(override.full_key());
        if (!replacement.is_sweep() && replacement.type == given->type) return;  // fixed for all runs already
        block.axes.push_back(make_axis(replacement, false, sweep_context));
        return;
      }
      block.axes.push_back(make_axis(override, zipped, sweep_context));
    };
    for (const Override& override : parsed.grid) add(override, false);
    for (const Override& override : parsed.zip) add(override, true);
    for (const Override& override : swept)
      if (!placed.contains(override.full_key())) {
        std::erase_if(block.axes, [&](const SweepAxis& axis) { return same_key(axis.key, override); });
        block.axes.push_back(make_axis(override, false, sweep_context));
      }
    check_zip(block);
    apply_order(block);
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

  void apply_order(SweepBlock& block) const {
    const auto rank = [&](const SweepAxis& axis) {
      const auto found = std::find(settings_.order.begin(), settings_.order.end(), axis.key.full_key());
      return found - settings_.order.begin();
    };
    std::stable_sort(block.axes.begin(), block.axes.end(),
                     [&](const SweepAxis& a, const SweepAxis& b) { return rank(a) < rank(b); });
  }

  void expand(const std::vector<Override>& fixed, const std::vector<Override>& swept, const Node& sweep,
              const std::vector<Override>& file_axes, int level) {
    if (level > kMostInnerSweeps) throw ConfigError("sweeps inside of sweeps are nested too deeply");
    std::vector<Override> start;
    if (sweep.is_map()) {
      OverrideOptions options = default_override_options();
      for (const std::string& text : settings_.base) {
        options.file = "sweep.base";
        Override override = parse_override(text, options);
        ++options.number;
        if (override.is_sweep()) throw ConfigError(located(override, "an override in sweep.base cannot be a sweep"));
        if (!on_command_line(override)) start.push_back(std::move(override));
      }
    }
    start.insert(start.end(), fixed.begin(), fixed.end());
    std::vector<ParsedBlock> blocks = sweep.is_map() ? read_sweep_blocks(sweep) : std::vector<ParsedBlock>{};
    if (blocks.empty()) {
      blocks.emplace_back();
      if (sweep.is_map() && swept.empty() && file_axes.empty())
        throw ConfigError(fmt::format("{}: sweep: the block sweeps nothing; give it a grid, a zip or blocks",
                                      to_string(sweep.position())));
    }
    for (ParsedBlock& block : blocks) block.grid.insert(block.grid.begin(), file_axes.begin(), file_axes.end());
    const SweepContext sweep_context = context(start);
    for (const ParsedBlock& parsed : blocks) {
      std::set<std::string> placed;
      const SweepBlock block = make_block(parsed, swept, sweep_context, placed);
      for_each_combination(block, [&](const std::vector<const Override*>& assignment) {
        std::vector<Override> overrides = start;
        for (const Override* override : assignment) {
          std::erase_if(overrides, [&](const Override& o) { return same_key(o, *override); });
          overrides.push_back(*override);
        }
        take(overrides, assignment, block, sweep, level);
      });
    }
  }

  void take(const std::vector<Override>& overrides, const std::vector<const Override*>& assignment,
            const SweepBlock& block, const Node& sweep, int level) {
    std::optional<Composition> composed;
    const auto compose_once = [&]() -> const Composition& {
      if (!composed) composed = compose_run(overrides);
      return *composed;
    };
    if (!block.where.empty() && !is_wanted(block, assignment, compose_once)) return;
    const Composition& composition = compose_once();
    const Node* inner = sweep_of(composition.config);
    if (inner && !(*inner == sweep)) {  // a chosen config brings its own sweep
      plan_.is_sweep = true;
      expand(overrides, {}, *inner, {}, level + 1);
      return;
    }
    add_run(overrides, composition);
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
  bool is_wanted(const SweepBlock& block, const std::vector<const Override*>& assignment, F&& compose_once) {
    std::vector<std::unique_ptr<Node>> kept;
    Node root;
    const auto look_up = [&](const std::string& key) -> const Node* {
      for (const Override* override : assignment)
        if (override->full_key() == key)
          return kept.emplace_back(std::make_unique<Node>(to_node(override->value))).get();
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
    if (plan_.runs.size() >= kMostRuns) throw ConfigError(fmt::format("the sweep has more than {} runs", kMostRuns));
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
                       settings_.dedup ? "; the second is left out" : " (sweep.dedup=true leaves one of them out)"));
      if (settings_.dedup) return;
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

  void finish() const {
    if (!plan_.runs.empty() || settings_.allow_empty) return;
    throw ConfigError(
        fmt::format("{}: the sweep has no runs: a range, glob or where leaves nothing; sweep.allow_empty=true "
                    "takes that (deviation D1)",
                    request_.file.string()));
  }

  const Request& request_;
  Composer composer_;
  SweepSettings settings_;
  Plan plan_;
  std::vector<Override> fixed_, swept_, order_;  // of the command line
  std::map<std::string, std::vector<std::string>> seen_;
  std::map<std::string, int> repeats_;
};
}  // namespace

Plan plan(const Request& request) { return Planner(request).run(); }

}  // namespace mneme::config
