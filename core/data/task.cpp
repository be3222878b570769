#include "core/data/task.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/data/prompt_parts.h"
#include "core/metric/text_metric.h"

namespace mneme::data {

namespace {
/// A text for a message: whole if short, otherwise its start.
std::string excerpt(std::string_view text) {
  constexpr std::size_t kMost = 80;
  const std::u32string points = decode_utf8(text);
  return points.size() <= kMost ? std::string(text) : encode_utf8(points.substr(0, kMost)) + "…";
}

class MemorySource final : public TaskSource {
 public:
  explicit MemorySource(TaskRows rows) : rows_(std::move(rows)) {}
  std::vector<Example> load(Split split) const override { return rows_of(split); }
  std::string sha256(Split split) const override { return rows_sha256(rows_of(split)); }

 private:
  const std::vector<Example>& rows_of(Split split) const {
    return split == Split::kTrain ? rows_.train : split == Split::kEval ? rows_.eval : rows_.test;
  }
  TaskRows rows_;
};

void check_text(const std::string& text, const char* field, const std::string& row) {
  if (strip(text).empty())
    throw DataError(fmt::format("{}: \"{}\" is empty; expected text (remove the row or fill it in)", row, field));
  if (const auto at = find_invalid_utf8(text))
    throw DataError(
        fmt::format("{}: \"{}\" is not valid UTF-8 at its byte {}; convert the data to UTF-8", row, field, *at));
}

void check_row(const TaskSpec& spec, bool needs_group, const std::string& row, Example& example) {
  check_text(example.prompt, "prompt", row);
  check_text(example.answer, "answer", row);
  if (!spec.labels.empty() && std::find(spec.labels.begin(), spec.labels.end(), example.answer) == spec.labels.end())
    throw DataError(fmt::format("{}: the answer '{}' is not one of the task's {} labels: {}", row,
                                excerpt(example.answer), spec.labels.size(), fmt::join(spec.labels, ", ")));
  const auto parts = split_prompt(spec, example.prompt);
  if (!parts)
    throw DataError(
        fmt::format("{}: the prompt does not have the task's instruction '{}' and, behind it, its cue '{}'; "
                    "found '{}'",
                    row, excerpt(spec.instruction), excerpt(spec.cue), excerpt(example.prompt)));
  if (!grow_tail(spec, example.prompt, *parts))
    throw DataError(
        fmt::format("{}: the prompt does not have the task's keep_from '{}' between instruction and cue; found "
                    "'{}'",
                    row, excerpt(spec.keep_from), excerpt(example.prompt)));
  if (needs_group && example.group.empty())
    throw DataError(
        fmt::format("{}: has no group, which metric '{}' needs; expected a side file of row ids "
                    "\"dialogue|turn|slot\", parallel row by row",
                    row, spec.metric));
  if (example.references.empty()) example.references.push_back(example.answer);
  for (const std::string& reference : example.references) check_text(reference, "references", row);
  if (example.source.empty()) example.source = spec.source == SourceText::kBody ? parts->body : example.prompt;
}
}  // namespace

std::optional<PromptParts> split_prompt(const TaskSpec& spec, std::string_view prompt) {
  std::size_t head = 0, tail = prompt.size();
  if (!spec.instruction.empty()) {
    const std::size_t at = prompt.find(spec.instruction);
    if (at == std::string_view::npos) return std::nullopt;
    head = at + spec.instruction.size();
  }
  if (!spec.cue.empty()) {
    tail = prompt.rfind(spec.cue);
    if (tail == std::string_view::npos || tail < head) return std::nullopt;
  }
  return PromptParts{prompt.substr(0, head), prompt.substr(head, tail - head), prompt.substr(tail)};
}

std::optional<PromptParts> grow_tail(const TaskSpec& spec, std::string_view prompt, const PromptParts& parts) {
  if (spec.keep_from.empty()) return parts;
  const std::size_t at = parts.body.rfind(spec.keep_from);
  if (at == std::string_view::npos) return std::nullopt;
  return PromptParts{parts.head, parts.body.substr(0, at), prompt.substr(parts.head.size() + at)};
}

TaskSource::~TaskSource() = default;

struct Task::Rows {
  struct Slot {
    std::mutex mutex;
    bool loaded = false;
    std::vector<Example> rows;
  };
  std::shared_ptr<const TaskSource> source;
  std::array<Slot, std::size(kSplits)> slots;
};

Task::Task(TaskSpec spec, std::shared_ptr<const TaskSource> source)
    : spec_(std::move(spec)), rows_(std::make_shared<Rows>()) {
  MNEME_CHECK(source != nullptr, "task '{}' has no source of rows", spec_.name);
  rows_->source = std::move(source);
}

Task Task::renamed(std::string name) const {
  Task copy = *this;
  copy.spec_.name = std::move(name);
  return copy;
}

std::span<const Example> Task::split(Split split) const {
  Rows::Slot& slot = rows_->slots[static_cast<std::size_t>(split)];
  const std::scoped_lock lock(slot.mutex);
  if (!slot.loaded) {
    slot.rows = with_context(fmt::format("loading {} of task '{}'", to_string(split), spec_.name),
                             [&] { return rows_->source->load(split); });
    slot.loaded = true;
  }
  return slot.rows;
}

std::string Task::sha256(Split split) const { return rows_->source->sha256(split); }

Task make_task(TaskSpec spec, TaskRows rows) {
  const std::string where = fmt::format("task '{}'", spec.name);
  check_examples(spec, Split::kTrain, where, rows.train);
  check_examples(spec, Split::kEval, where, rows.eval);
  check_examples(spec, Split::kTest, where, rows.test);
  return Task(std::move(spec), std::make_shared<MemorySource>(std::move(rows)));
}

Task make_task(TaskSpec spec, std::vector<Example> train, std::vector<Example> eval, std::vector<Example> test) {
  return make_task(std::move(spec), TaskRows{std::move(train), std::move(eval), std::move(test)});
}

void check_examples(const TaskSpec& spec, Split split, const std::string& where, std::vector<Example>& rows) {
  bool needs_group = false;
  if (split != Split::kTrain) {
    needs_group = !spec.metric.empty() && metric::text_metric(spec.metric).needs_group;
    for (const std::string& id : spec.more_metrics) needs_group = needs_group || metric::text_metric(id).needs_group;
  }
  std::unordered_set<std::string> ids;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string row = fmt::format("{}: {} row {}", where, to_string(split), i);
    if (rows[i].row_id.empty()) rows[i].row_id = std::to_string(i);
    if (!ids.insert(rows[i].row_id).second)
      throw DataError(fmt::format("{}: the row id '{}' is there twice; expected unique ids", row, rows[i].row_id));
    check_row(spec, needs_group, row, rows[i]);
  }
}

}  // namespace mneme::data
