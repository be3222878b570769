#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "core/base/error.h"
#include "core/record/reader.h"

namespace mneme::record {

namespace {
std::string flow_text(const YAML::Node& node) {
  if (node.IsNull() || !node.IsDefined()) return "null";
  if (node.IsScalar()) return node.Scalar();
  std::string out;
  for (const auto& item : node) {
    if (!out.empty()) out += ", ";
    out += node.IsMap() ? fmt::format("{}: {}", item.first.Scalar(), flow_text(item.second)) : flow_text(item);
  }
  return node.IsMap() ? fmt::format("{{{}}}", out) : fmt::format("[{}]", out);
}

void flatten(const YAML::Node& map, const std::string& prefix, std::map<std::string, std::string>& out) {
  for (const auto& item : map) {
    const std::string key = prefix + item.first.Scalar();
    if (item.second.IsMap() && item.second.size() > 0) {
      flatten(item.second, key + ".", out);
    } else {
      out[key] = flow_text(item.second);
    }
  }
}
}  // namespace

std::map<std::string, std::string> flat_config(const std::string& yaml) {
  std::map<std::string, std::string> out;
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (!root.IsMap()) throw ConfigError("a resolved config must be a YAML map");
    flatten(root, "", out);
  } catch (const YAML::Exception& e) {
    throw ConfigError(fmt::format("the resolved config is no YAML: {}", e.what()));
  }
  return out;
}

}  // namespace mneme::record
