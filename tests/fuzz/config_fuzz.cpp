// libFuzzer target for the parsers of the configuration language. The first byte chooses the parser. Only ConfigError
// may leave it, and what is dumped must read back.
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/config/config.h"
#include "core/config/override.h"
#include "core/config/sweep.h"
#include "core/config/where.h"

using namespace mneme;
using namespace mneme::config;

namespace {

void require(bool condition, std::string_view what) {
  if (condition) return;
  fmt::print(stderr, "property broken: {}\n", what);
  std::abort();
}

void fuzz_yaml(std::string_view text) {
  const Node root = parse_yaml(text, "fuzz");
  dump_yaml(root);
  require(parse_json(dump_json(root, {.positions = true}), "fuzz") == root, "JSON reads back");
  ResolveOptions options;
  options.allow_missing = true;
  dump_yaml(resolve(root, options));
}

void fuzz_override(std::string_view text) {
  OverrideOptions options;
  options.task_orders = true;
  options.lenient = text.size() % 2 == 1;
  const Override override = parse_override(text, options);
  if (override.value_type == ValueType::kElement) {
    // As with Hydra a cast text such as str(true) is read as true again; from then on a job's text is stable.
    const std::string job = element_text(parse_override_value(element_text(override.value), options).value);
    const Override again = parse_override_value(job, options);
    require(element_text(again.value) == job, "a job's text is stable");
    to_element(to_node(override.value));
  }
  if (override.value_type == ValueType::kGlob) glob_names(override.sweep, {"abc", "a", ""});
  if (override.value_type != ValueType::kRange && override.is_sweep()) sweep_values(override.sweep);
}

void fuzz_interpolation(std::string_view text) {
  Node root = parse_yaml("a: {b: 1, c: [x, '${..a.b}']}\nd: ${a}\nm: ???\n", "fuzz");
  root.set("x", Node::string(std::string(text)));
  resolve(root);
}

// A tree in which the text is merged by overrides, one per line.
void fuzz_updates(std::string_view text) {
  Request request;
  request.file = std::string(std::getenv("MNEME_FUZZ_FILE") ? std::getenv("MNEME_FUZZ_FILE") : "fuzz.yaml");
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(text.find('\n', i), text.size());
    request.overrides.emplace_back(text.substr(i, end - i));
    i = end + 1;
  }
  request.multirun = true;
  if (request.overrides.size() < 8) dump_yaml(compose(request).config);
}

void fuzz_where(std::string_view text) {
  const Node value = Node::integer(3);
  holds(text, [&](const std::string& key) { return key == "a" ? &value : nullptr; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 6) {
      case 0:
        fuzz_yaml(text);
        break;
      case 1:
        fuzz_override(text);
        break;
      case 2:
        fuzz_interpolation(text);
        break;
      case 3:
        parse_json(text, "fuzz");
        break;
      case 4:
        fuzz_updates(text);
        break;
      default:
        fuzz_where(text);
        break;
    }
  } catch (const ConfigError&) {
  }
  return 0;
}
