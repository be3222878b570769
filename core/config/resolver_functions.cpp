#include "core/config/resolver_functions.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <ctime>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/python_text.h"
#include "core/config/yaml.h"

namespace mneme::config {

namespace {
// All configurations of a process see the same time.
const std::tm& start_time() {
  static const std::tm time = [] {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    return local;
  }();
  return time;
}

std::string replaced(std::string text, std::string_view name, const std::string& value) {
  const std::array forms = {fmt::format("${{{}}}", name), fmt::format("${}", name)};
  for (const std::string& form : forms)
    for (std::size_t i = text.find(form); i != text.npos; i = text.find(form, i + value.size()))
      text.replace(i, form.size(), value);
  return text;
}
}  // namespace

ResolverFunctions::Target ResolverFunctions::call(const std::string& name, const std::vector<Target>& arguments) {
  struct Function {
    std::string name;
    std::size_t least, most;
    Target (ResolverFunctions::*run)(const std::vector<Target>&);
  };
  static const std::vector<Function> functions = {
      {"oc.env", 1, 2, &ResolverFunctions::env},
      {"oc.decode", 1, 1, &ResolverFunctions::decode},
      {"oc.select", 1, 2, &ResolverFunctions::select},
      {"oc.create", 1, 1, &ResolverFunctions::create},
      {"oc.deprecated", 1, 2, &ResolverFunctions::deprecated},
      {"oc.dict.keys", 1, 1, &ResolverFunctions::dict_keys},
      {"oc.dict.values", 1, 1, &ResolverFunctions::dict_values},
      {"now", 1, 1, &ResolverFunctions::now},
      {"hydra", 1, 1, &ResolverFunctions::hydra},
  };
  std::vector<std::string> names;
  for (const Function& function : functions) {
    names.push_back(function.name);
    if (function.name != name) continue;
    if (arguments.size() < function.least || arguments.size() > function.most)
      throw ConfigError(fmt::format("{} takes {} argument{}, found {}", name,
                                    function.least == function.most
                                        ? std::to_string(function.least)
                                        : fmt::format("{} or {}", function.least, function.most),
                                    function.most == 1 ? "" : "s", arguments.size()));
    return (this->*function.run)(arguments);
  }
  throw ConfigError(fmt::format("there is no resolver '{}'{}", name, hint(name, names)));
}

const std::string& ResolverFunctions::text(std::string_view name, const std::vector<Target>& arguments,
                                           std::size_t index) const {
  const Node& node = *arguments[index].node;
  if (!node.is_string()) throw ConfigError(fmt::format("{} takes text, found {}", name, describe(node)));
  return node.as_string();
}

ResolverFunctions::Target ResolverFunctions::env(const std::vector<Target>& arguments) {
  const std::string& key = text("oc.env", arguments, 0);
  if (const char* value = std::getenv(key.c_str())) return computed(Node::string(value));
  if (arguments.size() < 2) throw ConfigError(fmt::format("the environment variable '{}' is not set", key));
  const Node& fallback = *arguments[1].node;
  return computed(fallback.is_null() ? Node::null() : Node::string(python_text(fallback)));
}

ResolverFunctions::Target ResolverFunctions::decode(const std::vector<Target>& arguments) {
  if (arguments[0].node->is_null()) return computed(Node::null());
  Target target = resolver_.evaluate(parse_argument(text("oc.decode", arguments, 0)), parents_);
  return target;
}

ResolverFunctions::Target ResolverFunctions::select(const std::vector<Target>& arguments) {
  const std::string& key = text("oc.select", arguments, 0);
  std::optional<Target> found;
  try {
    found = resolver_.select_absolute(parents_, key, false);
  } catch (const NotAContainer&) {
  }
  if (found && !found->node->is_missing()) return *found;
  return arguments.size() < 2 ? computed(Node::null()) : arguments[1];
}

ResolverFunctions::Target ResolverFunctions::create(const std::vector<Target>& arguments) {
  Node node = resolver_.resolved(arguments[0]);
  if (node.is_string()) {
    node = parse_yaml(node.as_string(), "oc.create");
    if (node.is_null()) node = Node::map();
    if (node.is_string()) {
      Node map = Node::map();
      map.set(node.as_string(), Node::null());
      node = std::move(map);
    }
  }
  if (node.is_null()) return computed(std::move(node));
  if (!node.is_container()) throw ConfigError(fmt::format("oc.create takes a map or list, found {}", describe(node)));
  return computed(std::move(node), false);
}

ResolverFunctions::Target ResolverFunctions::deprecated(const std::vector<Target>& arguments) {
  const std::string& key = text("oc.deprecated", arguments, 0);
  const std::optional<Target> found = resolver_.select_absolute(parents_, key, false);
  if (!found) throw ConfigError(fmt::format("oc.deprecated: there is no key '{}'", key));
  if (resolver_.options_.warnings) {
    const std::string message = arguments.size() > 1
                                    ? text("oc.deprecated", arguments, 1)
                                    : "a key is deprecated; change your code and config to use '$NEW_KEY'";
    resolver_.options_.warnings->push_back(replaced(replaced(message, "NEW_KEY", key), "OLD_KEY", "the old key"));
  }
  return *found;
}

const ResolverFunctions::Target ResolverFunctions::map_at(std::string_view name, const std::string& key) {
  const std::optional<Target> found = resolver_.select_absolute(parents_, key, true);
  if (!found) throw ConfigError(fmt::format("{}: there is no key '{}'", name, key));
  if (!found->node->is_map() || found->raw)
    throw ConfigError(
        fmt::format("{} takes the key of a map, but '{}' is {}", name, key, kind_name(found->node->kind())));
  return *found;
}

ResolverFunctions::Target ResolverFunctions::dict_keys(const std::vector<Target>& arguments) {
  const Target map = map_at("oc.dict.keys", text("oc.dict.keys", arguments, 0));
  Node list = Node::list();
  for (std::size_t i = 0; i < map.node->size(); ++i) {
    const std::string& key = map.node->entries()[i].first;
    switch (map.node->key_kind(i)) {
      case Kind::kBool:
        list.push_back(Node::boolean(key == "true"));
        break;
      case Kind::kInt:
        list.push_back(Node::integer_digits(key));
        break;
      case Kind::kFloat:
        list.push_back(Node::real(parse_python_float(key).value_or(0)));
        break;
      default:
        list.push_back(Node::string(key));
    }
  }
  return computed(std::move(list), false);
}

ResolverFunctions::Target ResolverFunctions::dict_values(const std::vector<Target>& arguments) {
  std::string key = text("oc.dict.values", arguments, 0);
  const Target map = map_at("oc.dict.values", key);
  if (key.starts_with('.')) key = "." + key;  // the values are one level deeper, in the new list
  Node list = Node::list();
  for (const auto& entry : map.node->entries())
    list.push_back(Node::string(fmt::format("${{{}.{}}}", key, entry.first)));
  return computed(std::move(list), false);
}

ResolverFunctions::Target ResolverFunctions::now(const std::vector<Target>& arguments) {
  const std::string& format = text("now", arguments, 0);
  std::array<char, 4096> buffer{};
  const std::size_t length = std::strftime(buffer.data(), buffer.size(), format.c_str(), &start_time());
  if (length == 0 && !format.empty()) throw ConfigError(fmt::format("now: the format '{}' gives no text", format));
  return computed(Node::string(std::string(buffer.data(), length)));
}

ResolverFunctions::Target ResolverFunctions::hydra(const std::vector<Target>& arguments) {
  const std::string& key = text("hydra", arguments, 0);
  if (!resolver_.options_.hydra) throw ConfigError("hydra: Hydra's own settings are not known here");
  std::optional<Target> found;
  const Resolver::Parents above = {&resolver_.root_};
  try {
    found = resolver_.select_in(*resolver_.options_.hydra, above, key, false);
  } catch (const NotAContainer&) {
  }
  if (!found || found->node->is_missing()) return computed(Node::null());
  return *found;
}

}  // namespace mneme::config
