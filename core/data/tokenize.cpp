#include "core/data/tokenize.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/data/prompt_parts.h"

namespace mneme::data {

namespace {
using text::TokenIds;

/// Tokens that one character can at most be split into (byte tokens).
constexpr std::size_t kTokensPerCharacter = 4;

/// Whether the text ends within a UTF-8 character.
bool ends_within_character(std::string_view text) {
  std::size_t behind = 0;
  while (behind < 3 && behind < text.size() && is_continuation(text[text.size() - 1 - behind])) ++behind;
  if (behind >= text.size()) return false;
  const auto lead = static_cast<unsigned char>(text[text.size() - 1 - behind]);
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return length > behind + 1;
}

/// The first `room` tokens, less the parts of a character that the cut went through.
void keep_front(const text::Tokenizer& tokenizer, TokenIds& ids, std::size_t room) {
  ids.resize(room);
  const auto incomplete = [&] {
    std::string end;
    for (const std::int32_t id : std::span(ids).last(std::min(ids.size(), kTokensPerCharacter)))
      end += tokenizer.bytes_of(id);
    return ends_within_character(end);
  };
  for (std::size_t i = 1; i < kTokensPerCharacter && incomplete(); ++i) ids.pop_back();
}

/// The last `room` tokens, likewise.
void keep_back(const text::Tokenizer& tokenizer, TokenIds& ids, std::size_t room) {
  ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(room));
  const auto incomplete = [&] {
    if (ids.empty()) return false;
    const std::string first = tokenizer.bytes_of(ids.front());
    return !first.empty() && is_continuation(first.front());
  };
  for (std::size_t i = 1; i < kTokensPerCharacter && incomplete(); ++i) ids.erase(ids.begin());
}

/// Tokens that the prompt may have; negative if the answer alone is too long.
std::int64_t prompt_limit(const LengthLimits& limits, std::size_t answer) {
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  if (limits.max_prompt > 0) limit = limits.max_prompt;
  if (limits.max_total > 0) {
    const std::int64_t beside = limits.special + (limits.separate_answer ? 0 : static_cast<std::int64_t>(answer));
    limit = std::min(limit, limits.max_total - beside);
  }
  return limit;
}

/// The kept ends of a prompt as tokens.
struct Ends {
  TokenIds head, tail;
  std::int64_t size() const { return static_cast<std::int64_t>(head.size() + tail.size()); }
};

Ends encode_ends(const text::Tokenizer& tokenizer, const PromptParts& parts) {
  return {parts.head.empty() ? TokenIds{} : tokenizer.encode(parts.head),
          parts.tail.empty() ? TokenIds{} : tokenizer.encode_continuation(parts.tail)};
}

/// Cuts the body so that the prompt has at most `limit` tokens.
void fit_prompt(const text::Tokenizer& tokenizer, const TaskSpec& spec, const Example& example, std::int64_t limit,
                TokenizedExample& out) {
  auto parts = split_prompt(spec, example.prompt);
  if (!parts)
    throw DataError(
        fmt::format("task '{}', row '{}': the prompt lacks the instruction or the cue that its task names, so "
                    "that it cannot be cut",
                    spec.name, example.row_id));
  Ends ends = encode_ends(tokenizer, *parts);
  if (ends.size() > limit)
    throw DataError(
        fmt::format("task '{}', row '{}': instruction ({} tokens), cue ({}) and answer ({}) leave no room: the "
                    "prompt may have {} tokens; raise the length limit, or set one for answers",
                    spec.name, example.row_id, ends.head.size(), ends.tail.size(), out.answer.size(), limit));
  if (const auto grown = grow_tail(spec, example.prompt, *parts)) {
    Ends longer = encode_ends(tokenizer, *grown);
    if (longer.size() <= limit) {
      ends = std::move(longer);
      parts = grown;
    }
  }
  TokenIds body = ends.head.empty() ? tokenizer.encode(parts->body) : tokenizer.encode_continuation(parts->body);
  const std::size_t room = std::min(static_cast<std::size_t>(limit - ends.size()), body.size());
  out.cut_tokens = static_cast<std::int64_t>(body.size());
  spec.cut_front ? keep_back(tokenizer, body, room) : keep_front(tokenizer, body, room);
  out.cut_tokens -= static_cast<std::int64_t>(body.size());
  out.prompt = std::move(ends.head);
  out.prompt.insert(out.prompt.end(), body.begin(), body.end());
  out.prompt.insert(out.prompt.end(), ends.tail.begin(), ends.tail.end());
}
}  // namespace

TokenizedExample tokenize(const text::Tokenizer& tokenizer, const TaskSpec& spec, const Example& example,
                          const LengthLimits& limits) {
  TokenizedExample out;
  out.answer =
      limits.separate_answer ? tokenizer.encode(example.answer) : tokenizer.encode_continuation(example.answer);
  if (limits.max_answer > 0 && static_cast<std::int64_t>(out.answer.size()) > limits.max_answer) {
    out.answer_cut_tokens = static_cast<std::int64_t>(out.answer.size());
    keep_front(tokenizer, out.answer, static_cast<std::size_t>(limits.max_answer));
    out.answer_cut_tokens -= static_cast<std::int64_t>(out.answer.size());
  }
  out.prompt = tokenizer.encode(example.prompt);
  const std::int64_t limit = prompt_limit(limits, out.answer.size());
  if (static_cast<std::int64_t>(out.prompt.size()) > limit) fit_prompt(tokenizer, spec, example, limit, out);
  return out;
}

}  // namespace mneme::data
