#include "core/config/deviations.h"

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <vector>

#include "core/config/big_number.h"
#include "core/config/override.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
struct Case {
  const std::string& kind;
  const Node& record;
  bool ok;
  const Node& fields;
  const std::string& error;

  std::string text(std::string_view key) const {
    const Node* node = record.find(key);
    return node && node->is_string() ? node->as_string() : "";
  }
  bool recorded_ok() const { return record.at("ok").as_bool(); }
  template <class P>
  bool any_override(P&& predicate) const {
    if (kind != "compose") return false;
    for (const Node& override : record.at("overrides").items())
      if (predicate(override.as_string())) return true;
    return false;
  }
};

struct Deviation {
  std::string_view name;
  std::string_view expected;
  bool (*applies)(const Case&);
  bool (*met)(const Case&);
};

bool refused(const Case& c) { return !c.ok; }

// The values of a float range by exact decimal arithmetic, independently of the sweep code.
bool has_exact_range(const Case& c) {
  if (!c.ok) return false;
  const Override override = parse_override(c.text("in"));
  const Node* found = c.fields.find("expand");
  const std::vector<Node> values = range_values(override.sweep.start, override.sweep.stop, override.sweep.step);
  if (!found || found->size() != values.size()) return false;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (found->items()[i].as_string() != python_text(values[i])) return false;
  return true;
}

bool is_float_range(const Case& c) {
  if (c.kind != "parse" || c.text("vt") != "RANGE_SWEEP" || !c.record.has("expand")) return false;
  try {
    const Sweep sweep = parse_override(c.text("in")).sweep;
    return sweep.start.is_float() || sweep.stop.is_float() || sweep.step.is_float();
  } catch (const std::exception&) {
    return false;
  }
}

bool has_text(const Node* texts, std::string_view part) {
  if (!texts) return false;
  for (const Node& text : texts->items())
    if (text.as_string().find(part) != std::string::npos) return true;
  return false;
}

std::string_view without_prefix(std::string_view text) {
  while (!text.empty() && (text[0] == '+' || text[0] == '~')) text.remove_prefix(1);
  return text;
}

bool is_odd_tag(const Case& c) {
  const std::string text = c.text("in");
  return c.kind.starts_with("yaml") && c.recorded_ok() &&
         (text.find("!!omap") != text.npos || text.find("!!pairs") != text.npos);
}

// One entry per deviation that recorded cases can show; which case it is follows from what was recorded.
constexpr Deviation kDeviations[] = {
    {"D5", "an error: a choice, range, interval or glob among values with commas",
     [](const Case& c) {
       if (c.kind != "parse" || !c.recorded_ok() || c.text("vt") != "SIMPLE_CHOICE_SWEEP") return false;
       if (c.text("expand_err").starts_with("ValidationError")) return true;
       return has_text(c.record.find("expand"), "{include:");
     },
     refused},
    {"D8", "an error: '/' in a key whose group does not exist",
     [](const Case& c) {
       const std::string yaml = "\n" + c.text("yaml");
       return c.recorded_ok() && c.any_override([&](std::string_view o) {
         const std::string_view key = without_prefix(o).substr(0, without_prefix(o).find('='));
         return key.find('/') != key.npos && yaml.find(fmt::format("\n{}:", key)) != yaml.npos;
       });
     },
     refused},
    {"D9", "an error: the key is empty",
     [](const Case& c) {
       return c.kind == "parse" && c.recorded_ok() && c.text("key").empty() && c.record.at("pkg").is_null();
     },
     refused},
    {"D13", "an error unless the value is null",
     [](const Case& c) {
       return (c.recorded_ok() || c.text("err").find("Could not delete from config") != std::string::npos) &&
              c.any_override([](std::string_view o) { return o.starts_with("~") && o.ends_with("=null"); });
     },
     [](const Case& c) {
       const Node* yaml = c.fields.find("yaml");
       return !c.ok || !c.recorded_ok() || (yaml && yaml->as_string() == c.text("yaml"));
     }},
    {"D14", "null taken as an option, whatever else is wrong",
     [](const Case& c) {
       return !c.recorded_ok() && c.text("err").find("Got NoneType") != std::string::npos &&
              c.any_override([](std::string_view o) { return without_prefix(o).find("=null") != o.npos; });
     },
     [](const Case& c) { return c.ok || c.error.find("the option of a group must be") == std::string::npos; }},
    {"D21", "the key taken as one that is swept",
     [](const Case& c) {
       return !c.recorded_ok() &&
              c.any_override([](std::string_view o) { return o.starts_with("+hydra.sweeper.params."); });
     },
     [](const Case& c) { return c.ok; }},
    {"D22", "an error: a tag whose values no configuration holds", is_odd_tag, refused},
    {"D19", "the values of exact decimal arithmetic", is_float_range, has_exact_range},
    {"D20", "an error: the step is zero",
     [](const Case& c) { return c.kind == "parse" && c.text("vt") == "RANGE_SWEEP" && c.record.has("expand_err"); },
     refused},
};
}  // namespace

std::optional<DeviationVerdict> judge_deviation(const std::string& kind, const Node& record, bool ok,
                                                const Node& fields, const std::string& error) {
  const Case recorded{kind, record, ok, fields, error};
  for (const Deviation& deviation : kDeviations)
    if (deviation.applies(recorded))
      return DeviationVerdict{std::string(deviation.name), std::string(deviation.expected), deviation.met(recorded)};
  return std::nullopt;
}

}  // namespace mneme::config
