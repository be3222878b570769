#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/text/json_fields.h"

namespace mneme::text {

/// Reads a normalizer, pre_tokenizer or decoder of a tokenizer.json: one step, or {"type": "Sequence"} with a list of
/// them under `list_key`, which may nest. `Sequence` is made of the steps; make_step(type, fields, last) makes one,
/// where `last` says that no step follows it (nor whatever follows the whole, as `last` of this call says).
template <class Step, class Sequence, class MakeStep>
std::unique_ptr<Step> read_steps(const Json& value, const std::string& where, const std::string& list_key,
                                 const MakeStep& make_step, bool last = true) {
  JsonFields fields(value, where);
  const std::string type = fields.text("type");
  std::unique_ptr<Step> made;
  if (type == "Sequence") {
    const Json& list = fields.array(list_key);
    std::vector<std::unique_ptr<Step>> steps;
    for (const Json& step : list) {
      const bool is_last = last && steps.size() + 1 == list.size();
      const std::string place = fmt::format("{}[{}]", fields.where(list_key), steps.size());
      steps.push_back(read_steps<Step, Sequence>(step, place, list_key, make_step, is_last));
    }
    made = std::make_unique<Sequence>(std::move(steps));
  } else {
    made = make_step(type, fields, last);
  }
  fields.finish();
  return made;
}

}  // namespace mneme::text
