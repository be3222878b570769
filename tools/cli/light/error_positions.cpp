#include "tools/cli/light/error_positions.h"

#include <algorithm>
#include <sstream>

namespace mneme::cli {

namespace {
/// The node at a dotted key, or the nearest one above it that is there.
const config::Node& node_at(const config::Node& root, const std::string& key) {
  const config::Node* node = &root;
  std::istringstream parts(key);
  for (std::string part; std::getline(parts, part, '.');) {
    const config::Node* below = node->is_map() ? node->find(part) : nullptr;
    if (below == nullptr) break;
    node = below;
  }
  return *node;
}
}  // namespace

std::string with_positions(const std::string& messages, const config::Plan& plan) {
  std::string located;
  std::istringstream lines(messages);
  for (std::string line; std::getline(lines, line);) {
    const std::string start = "run ";
    const auto colon = line.find(": "), second = colon == line.npos ? line.npos : line.find(": ", colon + 2);
    if (line.starts_with(start) && second != line.npos) {
      const std::string id = line.substr(start.size(), colon - start.size());
      const auto run = std::find_if(plan.runs.begin(), plan.runs.end(), [&id](const auto& r) { return r.id == id; });
      const std::string key = line.substr(colon + 2, second - colon - 2);
      if (run != plan.runs.end() && key.find_first_of(" /'") == key.npos) {
        const std::string position = config::to_string(node_at(run->resolved, key).position());
        if (!position.empty()) line = position + ": " + line;
      }
    }
    located += (located.empty() ? "" : "\n") + line;
  }
  return located;
}

}  // namespace mneme::cli
