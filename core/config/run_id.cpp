#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/base/hash.h"
#include "core/config/plan.h"

namespace mneme::config {

namespace {
constexpr std::size_t kIdDigits = 12;

// An unambiguous text of a configuration: every value with its type, texts with their length, keys sorted.
class Canonical {
 public:
  std::string text;

  void value(const Node& node) {
    switch (node.kind()) {
      case Kind::kNull:
        text += 'n';
        return;
      case Kind::kBool:
        text += node.as_bool() ? 't' : 'f';
        return;
      case Kind::kInt:
        return tagged('i', node.int_digits());
      case Kind::kFloat:
        return real(node.as_float());
      case Kind::kString:
        return tagged('s', node.as_string());
      case Kind::kList:
        text += '[';
        for (const Node& item : node.items()) value(item);
        text += ']';
        return;
      case Kind::kMap:
        return map(node, false);
    }
  }

  void map(const Node& node, bool is_root) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < node.size(); ++i) {
      const std::string& key = node.entries()[i].first;
      if (!is_root || (key != "sweep" && key != "launcher")) order.push_back(i);
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const int sign = node.entries()[a].first.compare(node.entries()[b].first);
      return sign != 0 ? sign < 0 : node.key_kind(a) < node.key_kind(b);
    });
    text += '{';
    for (const std::size_t i : order) {
      tagged(static_cast<char>('0' + static_cast<int>(node.key_kind(i))), node.entries()[i].first);
      value(node.entries()[i].second);
    }
    text += '}';
  }

 private:
  void tagged(char tag, std::string_view content) {
    text += tag;
    text += std::to_string(content.size());
    text += ':';
    text += content;
  }
  void real(double number) {
    char buffer[40];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
    tagged('d', std::string_view(buffer, static_cast<std::size_t>(end - buffer)));
  }
};
}  // namespace

std::string run_id(const Node& resolved, int repeat) {
  Canonical canonical;
  canonical.map(resolved, true);
  if (repeat > 0) canonical.text += fmt::format("#{}", repeat);
  return sha256_hex(canonical.text).substr(0, kIdDigits);
}

}  // namespace mneme::config
