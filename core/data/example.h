#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::data {

/// One row of a task. The model's input is `prompt`; `answer` follows it with nothing in between.
struct Example {
  std::string row_id;  ///< unique within its split
  std::string prompt;  ///< UTF-8, not empty
  std::string answer;  ///< UTF-8, not empty; the training target
  std::vector<std::string>
      references;      ///< what a prediction is scored against; at least one, answer where none are given
  std::string source;  ///< the text that the answer rewrites; the prompt unless the task says otherwise
  std::string group;   ///< rows scored as one, for instance "dialogue|turn"; mostly empty

  bool operator==(const Example&) const = default;
};

enum class Split { kTrain, kEval, kTest };
inline constexpr Split kSplits[] = {Split::kTrain, Split::kEval, Split::kTest};

/// "train", "eval" or "test".
std::string_view to_string(Split split);

/// SHA-256 over all fields of all rows in their order: equal exactly for equal rows.
std::string rows_sha256(std::span<const Example> rows);

}  // namespace mneme::data
