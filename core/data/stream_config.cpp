#include "core/data/stream_config.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme::data {

namespace {
using config::Node;

/// A map whose every key must be known.
class Keys {
 public:
  Keys(const Node& map, std::string path, const std::vector<std::string>& known) : map_(map), path_(std::move(path)) {
    if (!map.is_map()) fail(map, fmt::format("{} is a {}; expected a map", path_, config::kind_name(map.kind())));
    for (const auto& [key, value] : map.entries()) {
      if (std::find(known.begin(), known.end(), key) == known.end())
        fail(value, fmt::format("unknown key '{}.{}'{}", path_, key, hint(key, known)));
    }
  }

  /// The value, nullptr if the key is absent or null.
  const Node* find(std::string_view key) const {
    const Node* node = map_.find(key);
    return node == nullptr || node->is_null() ? nullptr : node;
  }

  const Node& need(std::string_view key) const {
    const Node* node = find(key);
    if (node == nullptr) fail(map_, fmt::format("{}.{} is missing; it has no default", path_, key));
    return *node;
  }

  std::string text(std::string_view key) const { return typed(key, need(key), "text", &Node::is_string).as_string(); }
  std::string text(std::string_view key, std::string fallback) const { return find(key) ? text(key) : fallback; }
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t least) const {
    const Node* node = find(key);
    if (node == nullptr) return fallback;
    const std::int64_t value = typed(key, *node, "a whole number", &Node::is_int).as_int();
    if (value < least) fail(*node, fmt::format("{}.{} is {}; expected at least {}", path_, key, value, least));
    return value;
  }
  bool boolean(std::string_view key, bool fallback) const {
    const Node* node = find(key);
    return node ? typed(key, *node, "true or false", &Node::is_bool).as_bool() : fallback;
  }
  std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> out;
    const Node* node = find(key);
    if (node == nullptr) return out;
    for (const Node& item : typed(key, *node, "a list of texts", &Node::is_list).items())
      out.push_back(typed(key, item, "a list of texts (write true, no or 1 in quotes)", &Node::is_string).as_string());
    return out;
  }

  [[noreturn]] static void fail(const Node& node, const std::string& message) {
    const std::string where = config::to_string(node.position());
    throw ConfigError(where.empty() ? message : fmt::format("{}: {}", where, message));
  }
  const std::string& path() const { return path_; }

 private:
  const Node& typed(std::string_view key, const Node& node, std::string_view expected, bool (Node::*is)() const) const {
    if (!(node.*is)())
      fail(node, fmt::format("{}.{} is {}; expected {}", path_, key, config::describe(node), expected));
    return node;
  }

  const Node& map_;
  std::string path_;
};

TaskSpec task_spec(const std::string& name, const Node& node) {
  const Keys keys(node, "stream.tasks." + name,
                  {"metric", "more_metrics", "labels", "max_new_tokens", "instruction", "cue", "keep_from", "cut_front",
                   "source", "epochs", "directory"});
  TaskSpec spec;
  spec.name = name;
  spec.directory = keys.text("directory", "");
  spec.metric = keys.text("metric");
  spec.more_metrics = keys.texts("more_metrics");
  spec.labels = keys.texts("labels");
  spec.max_new_tokens = keys.integer("max_new_tokens", spec.max_new_tokens, 1);
  spec.instruction = keys.text("instruction", "");
  spec.cue = keys.text("cue", "");
  spec.keep_from = keys.text("keep_from", "");
  spec.cut_front = keys.boolean("cut_front", false);
  const std::string source = keys.text("source", "prompt");
  if (source != "prompt" && source != "body")
    Keys::fail(keys.need("source"), fmt::format("{}.source is '{}'; expected prompt or body", keys.path(), source));
  spec.source = source == "body" ? SourceText::kBody : SourceText::kPrompt;
  if (keys.find("epochs") != nullptr) spec.epochs = keys.integer("epochs", 1, 1);
  return spec;
}
}  // namespace

StreamOptions stream_options(const Node& stream) {
  const Keys keys(stream, "stream",
                  {"kind", "name", "root", "directory", "tasks", "order", "max_train", "max_eval", "max_test", "seed"});
  if (const std::string kind = keys.text("kind"); kind != "files")
    Keys::fail(keys.need("kind"), fmt::format("stream.kind is '{}'; expected files", kind));
  StreamOptions options;
  options.name = keys.text("name");
  options.root = keys.text("root");
  options.directory = keys.text("directory", "");
  const Node& tasks = keys.need("tasks");
  if (!tasks.is_map() || tasks.entries().empty())
    Keys::fail(tasks, fmt::format("stream.tasks is {}; expected a map of at least one task", config::describe(tasks)));
  for (const auto& [name, node] : tasks.entries()) options.tasks.push_back(task_spec(name, node));
  options.order = keys.texts("order");
  options.max_train = keys.integer("max_train", 0, 0);
  options.max_eval = keys.integer("max_eval", 0, 0);
  options.max_test = keys.integer("max_test", 0, 0);
  options.seed = static_cast<std::uint64_t>(keys.integer("seed", 42, 0));
  return options;
}

Stream build_stream(const Node& stream) { return load_stream(stream_options(stream)); }

}  // namespace mneme::data
