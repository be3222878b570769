#include "core/config/selftest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdlib.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/big_number.h"
#include "core/config/compose.h"
#include "core/config/deviations.h"
#include "core/config/json.h"
#include "core/config/override.h"
#include "core/config/plan.h"
#include "core/config/python_text.h"
#include "core/config/tree.h"
#include "core/config/yaml.h"

namespace mneme::config {

namespace fs = std::filesystem;

namespace {

// A directory that goes when the run ends.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (fs::temp_directory_path() / "mneme-selftest-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw Error(fmt::format("{}: cannot be created", name));
    path = name;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  fs::path path;
};

std::string python_type(const Node& node) {
  constexpr std::string_view names[] = {"NoneType", "bool", "int", "float", "str", "list", "dict"};
  return std::string(names[static_cast<int>(node.kind())]);
}

std::string python_type(const Element& element) {
  if (element.shape == Element::Shape::kList) return "list";
  return element.shape == Element::Shape::kDict ? "dict" : python_type(element.scalar);
}

// A value of the override grammar as a node; null keys, which no configuration takes, are kept.
Node encoded(const Element& element) {
  if (element.shape == Element::Shape::kScalar) return element.scalar;
  Node node = element.shape == Element::Shape::kList ? Node::list() : Node::map();
  for (const Element& item : element.items) node.push_back(encoded(item));
  for (const auto& [key, value] : element.entries)
    node.set_typed(key.scalar.kind(), key_text(key.scalar), encoded(value));
  return node;
}

std::string_view value_type_name(ValueType type) {
  switch (type) {
    case ValueType::kElement:
      return "ELEMENT";
    case ValueType::kSimpleChoice:
      return "SIMPLE_CHOICE_SWEEP";
    case ValueType::kChoice:
      return "CHOICE_SWEEP";
    case ValueType::kGlob:
      return "GLOB_CHOICE_SWEEP";
    case ValueType::kRange:
      return "RANGE_SWEEP";
    case ValueType::kInterval:
      return "INTERVAL_SWEEP";
    case ValueType::kTaskOrders:
      return "TASK_ORDERS";
    case ValueType::kNone:
      break;
  }
  return "";
}

// What Mneme made of a case: its fields as recorded ones have them.
struct Outcome {
  bool ok = false;
  std::string error;
  Node fields = Node::map();
};

std::string text_of(const Node& fields, std::string_view key) {
  const Node* node = fields.find(key);
  return node ? dump_json(*node) : "absent";
}

class Runner {
 public:
  explicit Runner(const std::function<void(const std::string&)>& report) : report_(report) {}

  SelftestResult result;

  void run(const Node& record, const std::string& where) {
    const std::string kind = record.at("kind").as_string();
    if (kind == "env") return;
    if (kind == "tree") return write_tree(record);
    Outcome outcome;
    try {
      outcome = measured(kind, record);
      outcome.ok = true;
    } catch (const ConfigError& e) {
      outcome.error = e.what();
    }
    const std::vector<std::string> differences = compare(kind, record, outcome);
    ++(differences.empty() ? result.passed : result.failed);
    if (!differences.empty())
      report_(fmt::format("{}: {} {}: {}", where, kind, shown_input(kind, record), fmt::join(differences, "; ")));
  }

 private:
  static std::string shown_input(const std::string& kind, const Node& record) {
    if (kind == "compose" || kind == "jobs")
      return fmt::format("{}:{} {}", record.at("tree").as_string(), record.at("config").as_string(),
                         dump_json(record.at("overrides")));
    return dump_json(record.at(kind == "interp" ? "doc" : "in"));
  }

  void write_tree(const Node& record) {
    const fs::path root = scratch_.path / record.at("tree").as_string();
    const fs::path extra = scratch_.path / "extra";  // what B:c26 puts on the search path
    fs::create_directories(extra / "db");
    write_file_atomically(extra / "db/ext.yaml", "n: ext\n");
    for (const auto& [name, content] : record.at("files").entries()) {
      const fs::path path = root / name;
      fs::create_directories(path.parent_path());
      std::string text = content.as_string();
      constexpr std::string_view kExtra = "@EXTRA@";
      if (const auto at = text.find(kExtra); at != text.npos) text.replace(at, kExtra.size(), extra.string());
      write_file_atomically(path, text);
    }
  }

  Outcome measured(const std::string& kind, const Node& record) const {
    if (kind == "parse") return parsed(record);
    if (kind == "compose") return composed(record);
    if (kind == "yaml_scalar") return scalar(record);
    if (kind == "interp") return interpolated(record);
    if (kind == "yaml") return document(record);
    if (kind == "jobs") return jobs(record);
    throw Error(fmt::format("unknown kind of case '{}'", kind));
  }

  static Outcome parsed(const Node& record) {
    constexpr std::string_view ops[] = {"CHANGE", "ADD", "FORCE_ADD", "DEL"};
    const Override override = parse_override(record.at("in").as_string());
    Outcome outcome;
    outcome.fields.set("op", Node::string(std::string(ops[static_cast<int>(override.type)])));
    outcome.fields.set("key", Node::string(override.key));
    outcome.fields.set("pkg", override.package ? Node::string(*override.package) : Node::null());
    const bool bare = override.value_type == ValueType::kNone;
    outcome.fields.set("vt", bare ? Node::null() : Node::string(std::string(value_type_name(override.value_type))));
    if (override.value_type == ValueType::kElement) {
      outcome.fields.set("type", Node::string(python_type(override.value)));
      outcome.fields.set("value", encoded(override.value));
    } else if (!bare && override.value_type != ValueType::kGlob && override.value_type != ValueType::kInterval) {
      Node texts = Node::list();
      for (const Element& value : sweep_values(override.sweep)) texts.push_back(Node::string(element_text(value)));
      outcome.fields.set("expand", std::move(texts));
      outcome.fields.set("shuffled", Node::boolean(override.sweep.shuffle));
    }
    return outcome;
  }

  Request request_of(const Node& record) const {
    Request request;
    request.file = scratch_.path / record.at("tree").as_string() / (record.at("config").as_string() + ".yaml");
    for (const Node& override : record.at("overrides").items()) request.overrides.push_back(override.as_string());
    return request;
  }

  // The overrides of every job of a multirun.
  Outcome jobs(const Node& record) const {
    Request request = request_of(record);
    request.multirun = true;
    Node list = Node::list();
    for (const PlannedRun& run : plan(request).runs) {
      Node texts = Node::list();
      for (const std::string& text : run.overrides) texts.push_back(Node::string(text));
      list.push_back(std::move(texts));
    }
    Outcome outcome;
    outcome.fields.set("jobs", std::move(list));
    return outcome;
  }

  Outcome composed(const Node& record) const {
    const Request request = request_of(record);
    const Composition composition = compose(request);
    Outcome outcome;
    outcome.fields.set("cfg", composition.config);
    outcome.fields.set("yaml", Node::string(dump_yaml(composition.config)));
    if (record.has("resolved")) {
      ResolveOptions options;
      options.allow_missing = true;
      Node text;
      try {
        text = Node::string(dump_yaml(resolve(composition, options)));
      } catch (const ConfigError&) {  // recorded as null
      }
      outcome.fields.set("resolved", std::move(text));
    }
    return outcome;
  }

  static Outcome typed(const Node& value) {
    Outcome outcome;
    outcome.fields.set("type", Node::string(python_type(value)));
    outcome.fields.set("value", value);
    return outcome;
  }

  static Outcome scalar(const Node& record) {
    const Node root = parse_yaml("key: " + record.at("in").as_string() + "\n", "case");
    check_interpolations(root);
    return typed(root.at("key"));
  }

  // A whole document: its value and the text that dumping it gives. An empty one and a lone text stand for a map.
  static Outcome document(const Node& record) {
    Node value = parse_yaml(record.at("in").as_string(), "case");
    if (value.is_string()) value = parse_yaml(value.as_string(), "case");
    if (value.is_null() || value.is_string()) {
      Node map = Node::map();
      if (value.is_string()) map.set(value.as_string(), Node::null());
      value = std::move(map);
    }
    if (!value.is_container()) throw ConfigError("the document is neither a map nor a list");
    check_interpolations(value);
    Outcome outcome;
    outcome.fields.set("value", value);
    outcome.fields.set("yaml", Node::string(dump_yaml(value)));
    return outcome;
  }

  static Outcome interpolated(const Node& record) {
    const Node root = parse_yaml(record.at("doc").as_string(), "case");
    check_interpolations(root);
    Resolver resolver(root);
    const auto target = resolver.select(record.at("key").as_string());
    if (!target || (target->node->is_missing() && !target->raw))
      throw ConfigError(fmt::format("there is no value at {}", record.at("key").as_string()));
    return typed(resolver.resolved(*target));
  }

  std::vector<std::string> compare(const std::string& kind, const Node& record, const Outcome& outcome) {
    if (const auto verdict = judge_deviation(kind, record, outcome.ok, outcome.fields, outcome.error)) {
      ++result.deviations[verdict->name];
      if (verdict->met) return {};
      return {fmt::format("deviation {} asks for {}; found {}", verdict->name, verdict->expected,
                          outcome.ok ? dump_json(outcome.fields) : "the error: " + outcome.error)};
    }
    const bool expected_ok = record.at("ok").as_bool();
    if (expected_ok && !outcome.ok) return {"refused, but Hydra takes it: " + outcome.error};
    if (!expected_ok && outcome.ok) return {"taken as " + dump_json(outcome.fields) + ", but Hydra refuses it"};
    if (!expected_ok) return located(kind, outcome.error);
    std::vector<std::string> differences;
    for (const std::string_view key :
         {"op", "key", "pkg", "vt", "type", "value", "expand", "cfg", "yaml", "resolved", "jobs"}) {
      const Node* expected = record.find(key);
      if (!expected || (key == "key" && kind != "parse") ||
          (key == "value" && expected->is_string() && expected->as_string() == "<env>"))
        continue;
      const Node* found = outcome.fields.find(key);
      if (!found || !(*found == *expected))
        differences.push_back(
            fmt::format("{} is {}, expected {}", key, text_of(outcome.fields, key), dump_json(*expected)));
    }
    return differences;
  }

  // An error must say where: the column of an override, the file or override of a composition.
  static std::vector<std::string> located(const std::string& kind, const std::string& error) {
    if (kind == "parse" && !error.starts_with("<command line>:1:")) return {"the error names no column: " + error};
    if (kind == "compose" && error.find("<command line>:") == error.npos && error.find(".yaml") == error.npos)
      return {"the error names no file or override: " + error};
    return {};
  }

  const std::function<void(const std::string&)>& report_;
  ScratchDirectory scratch_;
};
}  // namespace

SelftestResult run_selftest(const fs::path& file, const std::function<void(const std::string&)>& report) {
  const std::string text = read_file(file);
  Runner runner(report);
  int number = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(text.find('\n', i), text.size());
    const std::string_view line = std::string_view(text).substr(i, end - i);
    i = end + 1;
    const std::string where = fmt::format("{}:{}", file.string(), ++number);
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    with_context("running the case " + where, [&] { runner.run(parse_json(line, where), where); });
  }
  return runner.result;
}

}  // namespace mneme::config
