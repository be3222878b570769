#include "core/data/stream_config.h"

#include "core/base/error.h"
#include "core/config/section.h"

namespace mneme::data {

namespace {
using config::Section;

std::int64_t at_least(const Section& section, std::string_view key, std::int64_t least, std::int64_t fallback) {
  const std::int64_t value = section.int64(key, fallback);
  if (value < least) section.fail(key, fmt::format("is {}; expected at least {}", value, least));
  return value;
}

TaskSpec task_spec(const std::string& name, const Section& section) {
  TaskSpec spec;
  spec.name = name;
  spec.directory = section.text("directory", "");
  spec.metric = section.text("metric");
  spec.more_metrics = section.texts("more_metrics", std::vector<std::string>{});
  spec.labels = section.texts("labels", std::vector<std::string>{});
  spec.max_new_tokens = at_least(section, "max_new_tokens", 1, spec.max_new_tokens);
  spec.instruction = section.text("instruction", "");
  spec.cue = section.text("cue", "");
  spec.keep_from = section.text("keep_from", "");
  spec.cut_front = section.flag("cut_front", false);
  spec.source =
      section.choice("source", {"prompt", "body"}, "prompt") == "body" ? SourceText::kBody : SourceText::kPrompt;
  spec.epochs = section.maybe_int64("epochs");
  if (spec.epochs && *spec.epochs < 1) section.fail("epochs", fmt::format("is {}; expected at least 1", *spec.epochs));
  return spec;
}
bool is_mini8(const config::Node& stream) {
  if (!stream.is_map()) throw ConfigError("stream: must be a group with a kind, for instance stream=mini8");
  return stream.at("kind").as_string() == "mini8";
}
}  // namespace

StreamOptions stream_options(const config::Node& stream) {
  const Section section(stream, "stream");
  section.choice("kind", {"files"});
  StreamOptions options;
  options.name = section.text("name");
  options.root = section.text("root");
  options.directory = section.text("directory", "");
  const Section tasks = section.section("tasks");
  const config::Node* map = stream.find("tasks");
  if (map == nullptr || map->is_null() || map->entries().empty())
    section.fail("tasks", "holds no tasks; expected a map of at least one, name: {metric: ..}");
  for (const auto& [name, node] : map->entries()) options.tasks.push_back(task_spec(name, tasks.section(name)));
  options.order = section.texts("order", std::vector<std::string>{});
  options.max_train = at_least(section, "max_train", 0, 0);
  options.max_eval = at_least(section, "max_eval", 0, 0);
  options.max_test = at_least(section, "max_test", 0, 0);
  options.seed = static_cast<std::uint64_t>(at_least(section, "seed", 0, static_cast<std::int64_t>(options.seed)));
  section.finish();
  return options;
}

Mini8Options mini8_options(const config::Node& stream) {
  const config::Section section(stream, "stream");
  section.choice("kind", {"mini8"});
  section.text("name", "mini8");
  const Mini8Options defaults;
  Mini8Options options;
  options.seed = static_cast<std::uint64_t>(at_least(section, "seed", 0, static_cast<std::int64_t>(defaults.seed)));
  options.train_rows = at_least(section, "train_rows", 1, defaults.train_rows);
  options.eval_rows = at_least(section, "eval_rows", 0, defaults.eval_rows);
  options.test_rows = at_least(section, "test_rows", 1, defaults.test_rows);
  options.order = section.texts("order", std::vector<std::string>{});
  section.finish();
  return options;
}

Stream build_stream(const config::Node& stream) {
  if (is_mini8(stream)) return mini8_stream(mini8_options(stream));
  return load_stream(stream_options(stream));
}

std::vector<TaskSize> check_stream(const config::Node& stream, StreamChecker& checker) {
  return is_mini8(stream) ? checker.check(mini8_options(stream)) : checker.check(stream_options(stream));
}

}  // namespace mneme::data
