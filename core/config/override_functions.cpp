#include "core/config/override_functions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/big_number.h"
#include "core/config/override_casts.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {

bool is_whole(const Node& node) { return node.is_int() || node.is_bool(); }

Element string_element(std::string text) {
  Element element;
  element.scalar = Node::string(std::move(text));
  return element;
}

const Element* as_element(const FunctionValue& value) { return std::get_if<Element>(&value); }
const Sweep* as_sweep(const FunctionValue& value) {
  const Sweep* sweep = std::get_if<Sweep>(&value);
  const bool countable = sweep && sweep->shape != Sweep::Shape::kGlob && sweep->shape != Sweep::Shape::kTaskOrders;
  return countable ? sweep : nullptr;
}
const Element* as_scalar(const FunctionValue& value) {
  const Element* element = as_element(value);
  return element && element->shape == Element::Shape::kScalar ? element : nullptr;
}
const Element* as_list(const FunctionValue& value) {
  const Element* element = as_element(value);
  return element && element->shape == Element::Shape::kList ? element : nullptr;
}
bool is_null(const FunctionValue& value) { return as_scalar(value) && as_scalar(value)->scalar.is_null(); }
bool is_number(const FunctionValue& value) {
  const Element* element = as_scalar(value);
  return element && (is_whole(element->scalar) || element->scalar.is_float());
}
bool is_text(const FunctionValue& value) { return as_scalar(value) && as_scalar(value)->scalar.is_string(); }

std::string type_name(const FunctionValue& value) {
  if (const Sweep* sweep = std::get_if<Sweep>(&value)) {
    constexpr std::string_view kNames[] = {"choice", "range", "interval", "glob", "task order"};
    return fmt::format("a {}", kNames[static_cast<int>(sweep->shape)]);
  }
  const Element& element = std::get<Element>(value);
  if (element.shape == Element::Shape::kList) return "a list";
  return element.shape == Element::Shape::kDict ? "a map" : fmt::format("{}", describe(element.scalar));
}

// The arguments of one call under the names of the function's parameters.
class Arguments {
 public:
  // `parameters` can also be given by place; `only_named` cannot. A function that takes any number of values has no
  // parameters.
  Arguments(const FunctionCall& call, std::vector<std::string> parameters, std::vector<std::string> only_named,
            bool any_number = false)
      : name_(call.name) {
    if (!any_number && call.positional.size() > parameters.size())
      fail(fmt::format("takes at most {} values, found {}", parameters.size(), call.positional.size()));
    if (any_number)
      values = call.positional;
    else
      for (std::size_t i = 0; i < call.positional.size(); ++i) named_.emplace_back(parameters[i], call.positional[i]);
    for (const auto& argument : call.named) {
      const std::string& key = argument.first;
      const auto known = [&key](const std::vector<std::string>& names) {
        return std::find(names.begin(), names.end(), key) != names.end();
      };
      if (!known(parameters) && !known(only_named)) {
        parameters.insert(parameters.end(), only_named.begin(), only_named.end());
        fail(fmt::format("has no parameter '{}'{}", key, hint(key, parameters)));
      }
      if (find(key)) fail(fmt::format("'{}' is given twice", key));
      named_.push_back(argument);
    }
  }

  std::vector<FunctionValue> values;

  const FunctionValue* find(std::string_view key) const {
    for (const auto& [name, value] : named_)
      if (name == key) return &value;
    return nullptr;
  }
  const FunctionValue& need(std::string_view key) const {
    if (const FunctionValue* value = find(key)) return *value;
    fail(fmt::format("needs '{}'", key));
  }
  Node number(std::string_view key) const {
    const FunctionValue& value = need(key);
    if (!is_number(value)) fail(fmt::format("takes a number as '{}', found {}", key, type_name(value)));
    return as_scalar(value)->scalar;
  }
  [[noreturn]] void fail(const std::string& what) const { throw ConfigError(fmt::format("{}(): {}", name_, what)); }

 private:
  std::string name_;
  std::vector<std::pair<std::string, FunctionValue>> named_;
};

FunctionValue choice(const FunctionCall& call) {
  const Arguments arguments(call, {}, {}, true);
  Sweep sweep;
  if (arguments.values.empty()) arguments.fail("needs at least one value");
  for (const FunctionValue& value : arguments.values) {
    if (const Sweep* inner = as_sweep(value); inner && inner->shape == Sweep::Shape::kChoice) {
      if (arguments.values.size() > 1 || !inner->simple) arguments.fail("a choice cannot hold another choice");
      sweep = *inner;
      sweep.simple = false;
      return sweep;
    }
    const Element* element = as_element(value);
    if (!element || is_null(value))
      arguments.fail(fmt::format("takes texts, numbers, booleans, lists and maps, found {}", type_name(value)));
    sweep.choices.push_back(*element);
  }
  return sweep;
}

FunctionValue range(const FunctionCall& call) {
  const Arguments arguments(call, {"start", "stop", "step"}, {});
  Sweep sweep;
  sweep.shape = Sweep::Shape::kRange;
  sweep.start = arguments.number("start");
  const FunctionValue* stop = arguments.find("stop");
  if (stop && !is_null(*stop)) {
    sweep.stop = arguments.number("stop");
  } else {
    sweep.stop = sweep.start;
    sweep.start = Node::integer(0);
  }
  sweep.step = arguments.find("step") ? arguments.number("step") : Node::integer(1);
  if (python_equal(sweep.step, Node::integer(0))) arguments.fail("the step must not be zero");
  return sweep;
}

FunctionValue interval(const FunctionCall& call) {
  const Arguments arguments(call, {"start", "end"}, {});
  Sweep sweep;
  sweep.shape = Sweep::Shape::kInterval;
  sweep.start = cast_scalar(Cast::kFloat, arguments.number("start"));
  sweep.stop = cast_scalar(Cast::kFloat, arguments.number("end"));
  return sweep;
}

FunctionValue glob(const FunctionCall& call) {
  const Arguments arguments(call, {"include", "exclude"}, {});
  const auto patterns = [&](std::string_view key, const FunctionValue& value) {
    std::vector<std::string> result;
    if (is_text(value)) return std::vector{as_scalar(value)->scalar.as_string()};
    if (!as_list(value)) arguments.fail(fmt::format("takes a pattern or a list of them as '{}'", key));
    for (const Element& item : as_list(value)->items)  // what is no text matches as it is written
      result.push_back(is_text(item) ? item.scalar.as_string() : element_text(item));
    return result;
  };
  Sweep sweep;
  sweep.shape = Sweep::Shape::kGlob;
  sweep.include = patterns("include", arguments.need("include"));
  if (const FunctionValue* exclude = arguments.find("exclude"); exclude && !is_null(*exclude))
    sweep.exclude = patterns("exclude", *exclude);
  return sweep;
}

FunctionValue tag(const FunctionCall& call) {
  Arguments arguments(call, {}, {"sweep"}, true);
  if (arguments.values.empty()) arguments.fail("needs at least a sweep");
  if (const FunctionValue* sweep = arguments.find("sweep")) arguments.values.push_back(*sweep);
  const Sweep* last = as_sweep(arguments.values.back());
  if (!last)
    arguments.fail(fmt::format("the last value must be a choice, range or interval, found {}",
                               type_name(arguments.values.back())));
  Sweep sweep = *last;
  sweep.tags.clear();
  for (std::size_t i = 0; i + 1 < arguments.values.size(); ++i) {
    if (!is_text(arguments.values[i]))
      arguments.fail(fmt::format("a tag must be text, found {}", type_name(arguments.values[i])));
    sweep.tags.push_back(as_scalar(arguments.values[i])->scalar.as_string());
  }
  return sweep;
}

// Python's a < b; throws where Python cannot compare.
bool python_less(const Element& a, const Element& b) {
  const Node &x = a.scalar, &y = b.scalar;
  if (a.shape == Element::Shape::kList && b.shape == Element::Shape::kList) {
    for (std::size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i)
      if (!element_equal(a.items[i], b.items[i])) return python_less(a.items[i], b.items[i]);
    return a.items.size() < b.items.size();
  }
  const bool scalars = a.shape == Element::Shape::kScalar && b.shape == Element::Shape::kScalar;
  if (scalars && x.is_string() && y.is_string() && a.quote == 0 && b.quote == 0) return x.as_string() < y.as_string();
  const auto number = [](const Node& n) { return is_whole(n) || n.is_float(); };
  if (!scalars || !number(x) || !number(y))
    throw ConfigError(fmt::format("sort(): {} and {} cannot be compared", type_name(a), type_name(b)));
  const auto digits = [](const Node& n) { return n.is_bool() ? (n.as_bool() ? "1" : "0") : n.int_digits(); };
  if (is_whole(x) && is_whole(y)) return compare_digits(digits(x), digits(y)) < 0;
  const auto real = [](const Node& n) { return n.is_bool() ? (n.as_bool() ? 1.0 : 0.0) : n.as_float(); };
  return real(x) < real(y);
}

void sort_elements(std::vector<Element>& elements, bool reverse) {
  if (reverse) std::reverse(elements.begin(), elements.end());  // equal ones keep their order
  std::stable_sort(elements.begin(), elements.end(), python_less);
  if (reverse) std::reverse(elements.begin(), elements.end());
}

// As Hydra 1.3.8 turns a range round, also where the result is then empty.
Sweep sorted_range(Sweep sweep, bool reverse) {
  const auto element = [](const Node& n) {
    Element e;
    e.scalar = n;
    return e;
  };
  const bool falling = python_less(element(sweep.stop), element(sweep.start));
  const bool rising = python_less(element(sweep.start), element(sweep.stop));
  if (reverse ? !rising : !falling) return sweep;
  const Node magnitude = absolute(sweep.step);
  const Node start = reverse ? subtract(sweep.stop, magnitude) : add(sweep.stop, magnitude);
  const Node stop = reverse ? subtract(sweep.start, magnitude) : add(sweep.start, magnitude);
  sweep.start = start;
  sweep.stop = stop;
  sweep.step = subtract(Node::integer(0), sweep.step);
  return sweep;
}

FunctionValue sort(const FunctionCall& call) {
  Arguments arguments(call, {}, {"sweep", "list", "reverse"}, true);
  bool reverse = false;
  if (const FunctionValue* value = arguments.find("reverse")) {
    if (!as_scalar(*value) || !as_scalar(*value)->scalar.is_bool()) arguments.fail("'reverse' must be true or false");
    reverse = as_scalar(*value)->scalar.as_bool();
  }
  for (const FunctionValue& value : arguments.values)
    if (is_null(value) || (std::holds_alternative<Sweep>(value) && !as_sweep(value)))
      arguments.fail(fmt::format("cannot sort {}", type_name(value)));
  if (const FunctionValue* list = arguments.find("list"); list && !is_null(*list)) {
    if (!as_list(*list)) arguments.fail("'list' must be a list");
    arguments.values = {*list};
  } else if (const FunctionValue* sweep = arguments.find("sweep"); sweep && !is_null(*sweep)) {
    if (!as_sweep(*sweep)) arguments.fail("'sweep' must be a choice or range");
    arguments.values = {*sweep};
  }
  if (arguments.values.empty()) arguments.fail("needs something to sort");
  if (arguments.values.size() > 1) {
    Sweep sweep;
    sweep.simple = true;
    for (const FunctionValue& value : arguments.values) {
      if (!as_scalar(value))
        arguments.fail(fmt::format("sorts texts, numbers and booleans, found {}", type_name(value)));
      sweep.choices.push_back(*as_scalar(value));
    }
    sort_elements(sweep.choices, reverse);
    return sweep;
  }
  if (const Sweep* sweep = as_sweep(arguments.values[0])) {
    if (sweep->shape == Sweep::Shape::kInterval) arguments.fail("cannot sort an interval");
    if (sweep->shape == Sweep::Shape::kRange) return sorted_range(*sweep, reverse);
    Sweep sorted = *sweep;
    sort_elements(sorted.choices, reverse);
    return sorted;
  }
  Element element = std::get<Element>(arguments.values[0]);
  sort_elements(element.items, reverse);
  return element;
}

FunctionValue shuffle(const FunctionCall& call) {
  Arguments arguments(call, {}, {"sweep", "list"}, true);
  for (const FunctionValue& value : arguments.values)
    if (is_null(value) || (std::holds_alternative<Sweep>(value) && !as_sweep(value)))
      arguments.fail(fmt::format("cannot shuffle {}", type_name(value)));
  for (const std::string_view key : {"sweep", "list"})
    if (const FunctionValue* value = arguments.find(key); value && !is_null(*value)) {
      if (key == "list" ? !as_list(*value) : !as_sweep(*value)) arguments.fail(fmt::format("'{}' must be one", key));
      arguments.values = {*value};
    }
  Sweep sweep;
  if (arguments.values.size() == 1) {
    if (const Sweep* inner = as_sweep(arguments.values[0])) {
      if (inner->shape == Sweep::Shape::kInterval) arguments.fail("cannot shuffle an interval");
      sweep = *inner;
      sweep.shuffle = true;
      return sweep;
    }
    Element list;
    list.shape = Element::Shape::kList;
    const Element& value = std::get<Element>(arguments.values[0]);
    if (value.shape != Element::Shape::kList) {
      list.items.push_back(value);
      return list;
    }
    list = value;
    list.shuffle = value.items.size() > 1;
    return list;
  }
  sweep.simple = sweep.shuffle = true;
  for (const FunctionValue& value : arguments.values) {
    if (!as_element(value)) arguments.fail(fmt::format("cannot shuffle {} among values", type_name(value)));
    sweep.choices.push_back(std::get<Element>(value));
  }
  return sweep;
}

FunctionValue cast(const FunctionCall& call, Cast type) {
  Arguments arguments(call, {}, {"value"}, true);
  for (const FunctionValue& value : arguments.values)
    if (std::holds_alternative<Sweep>(value) && !as_sweep(value)) arguments.fail("a glob cannot be cast");
  const FunctionValue* named = arguments.find("value");
  if (named && is_null(*named)) named = nullptr;
  if (named && !arguments.values.empty()) arguments.fail("takes either values or 'value', not both");
  if (named) arguments.values = {*named};
  if (arguments.values.empty()) arguments.fail("needs a value");
  if (arguments.values.size() == 1) return cast_value(type, arguments.values[0]);
  Sweep sweep;
  sweep.simple = true;
  for (const FunctionValue& value : arguments.values) {
    if (!as_element(value)) arguments.fail(fmt::format("cannot cast {} among values", type_name(value)));
    sweep.choices.push_back(std::get<Element>(value));
  }
  return cast_value(type, sweep);
}

// Quotes of direct arguments are dropped, as Hydra does.
FunctionCall without_quotes(FunctionCall call) {
  const auto drop = [](FunctionValue& value) {
    if (auto* element = std::get_if<Element>(&value)) element->quote = 0;
  };
  for (FunctionValue& value : call.positional) drop(value);
  for (auto& [name, value] : call.named) drop(value);
  return call;
}

// permutations(n=6, seed=0) and latin_square(seed=0)
FunctionValue task_order(const FunctionCall& call) {
  const bool counted = call.name == "permutations";
  const Arguments arguments(call, counted ? std::vector<std::string>{"n", "seed"} : std::vector<std::string>{"seed"},
                            {});
  const auto whole = [&](std::string_view key) {
    const Node number = arguments.number(key);
    if (!number.is_int()) arguments.fail(fmt::format("takes a whole number as '{}', found {}", key, describe(number)));
    return number;
  };
  Sweep sweep;
  sweep.shape = Sweep::Shape::kTaskOrders;
  sweep.tags = {call.name};
  if (counted && arguments.find("n")) sweep.start = whole("n");
  sweep.step = arguments.find("seed") ? whole("seed") : Node::integer(0);
  return sweep;
}

FunctionValue json_text(const FunctionCall& call) {
  const Arguments arguments(call, {"value"}, {});
  const FunctionValue& value = arguments.need("value");
  if (!as_element(value)) arguments.fail("a sweep has no JSON text");
  return string_element(json_of(std::get<Element>(value)));
}
}  // namespace

FunctionValue call_function(const FunctionCall& original, const OverrideOptions& options) {
  using Function = std::function<FunctionValue(const FunctionCall&)>;
  const auto casts = [](Cast type) { return [type](const FunctionCall& c) { return cast(c, type); }; };
  std::vector<std::pair<std::string, Function>> functions = {{"bool", casts(Cast::kBool)},
                                                             {"choice", choice},
                                                             {"float", casts(Cast::kFloat)},
                                                             {"glob", glob},
                                                             {"int", casts(Cast::kInt)},
                                                             {"interval", interval},
                                                             {"range", range},
                                                             {"shuffle", shuffle},
                                                             {"sort", sort},
                                                             {"str", casts(Cast::kText)},
                                                             {"tag", tag}};
  if (options.task_orders) {
    functions.emplace_back("permutations", task_order);
    functions.emplace_back("latin_square", task_order);
  }
  if (options.compat_1_4) functions.emplace_back("json", json_text);
  std::vector<std::string> names;
  for (const auto& [name, function] : functions) {
    if (name == original.name) return function(without_quotes(original));
    names.push_back(name);
  }
  throw ConfigError(fmt::format("there is no function '{}' in overrides{}", original.name, hint(original.name, names)));
}

}  // namespace mneme::config
