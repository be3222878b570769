#pragma once

#include <optional>
#include <string_view>

#include "core/data/task.h"

namespace mneme::data {

/// A prompt as truncation sees it: head + body + tail is the prompt.
struct PromptParts {
  std::string_view head, body, tail;
};

/// The parts of a prompt by the spec's instruction and cue; nothing if the prompt lacks either of them or they overlap.
std::optional<PromptParts> split_prompt(const TaskSpec& spec, std::string_view prompt);

/// The same parts with the tail grown to begin with the spec's keep_from; nothing if the body lacks that text, the
/// parts themselves if the spec names none.
std::optional<PromptParts> grow_tail(const TaskSpec& spec, std::string_view prompt, const PromptParts& parts);

}  // namespace mneme::data
