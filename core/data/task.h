#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/example.h"

namespace mneme::data {

/// What the text that an answer rewrites is: the whole prompt (as TRACE and LLMCL do for SARI), or the prompt without
/// its kept head and tail.
enum class SourceText { kPrompt, kBody };

/// Everything about a task but its rows.
struct TaskSpec {
  std::string name;
  std::string directory;                  ///< of the data set below the stream's directory; "" means the name
  std::string metric;                     ///< id of the primary text metric
  std::vector<std::string> more_metrics;  ///< further metrics, computed from the same predictions
  std::vector<std::string> labels;        ///< every answer is one of these; empty: free text
  std::int64_t max_new_tokens = 64;       ///< limit of generation
  /// The kept head of a prompt ends with the first occurrence of this text; "": there is none. A prompt that is too
  /// long loses text between head and tail, never of them.
  std::string instruction;
  std::string cue;  ///< the kept tail begins with the last occurrence of this text; "": there is none
  /// A longer tail that is kept as long as it fits: it begins with the last occurrence of this text before the cue (the
  /// options of a question). "": none.
  std::string keep_from;
  bool cut_front = false;                   ///< what a too long body loses: its end, or (dialogues) its beginning
  SourceText source = SourceText::kPrompt;  ///< what becomes Example::source
  std::optional<std::int64_t> epochs;       ///< instead of train.epochs; train.epochs_per_task wins
};

/// Where a task's rows come from: files, a generator, memory. Immutable, usable by several threads at once.
class TaskSource {
 public:
  virtual ~TaskSource();
  /// The rows of a split, checked. Throws DataError.
  virtual std::vector<Example> load(Split split) const = 0;
  /// SHA-256 of the file, or of the generated rows. Throws DataError.
  virtual std::string sha256(Split split) const = 0;
};

/// A task: its spec and three splits, each loaded at first use and then kept. Copies share the rows, which never
/// change; a strategy's view of a stream may therefore repeat, join or rename tasks freely. Thread-safe.
class Task {
 public:
  Task(TaskSpec spec, std::shared_ptr<const TaskSource> source);

  const TaskSpec& spec() const { return spec_; }
  const std::string& name() const { return spec_.name; }

  /// The same rows under another name.
  Task renamed(std::string name) const;

  /// The rows, loaded at first use; the span lives as long as any copy of this task. Throws DataError.
  std::span<const Example> split(Split split) const;

  /// Of the file, or of the generated rows (all of them, before max_train and the like take some). Throws DataError.
  std::string sha256(Split split) const;

 private:
  struct Rows;
  TaskSpec spec_;
  std::shared_ptr<Rows> rows_;
};

/// The three splits of a task in memory.
struct TaskRows {
  std::vector<Example> train, eval, test;
};

/// A task with its rows in memory; checked like a file (see check_examples).
Task make_task(TaskSpec spec, TaskRows rows);
Task make_task(TaskSpec spec, std::vector<Example> train, std::vector<Example> eval, std::vector<Example> test);

/// Checks rows against the spec and completes them: prompt and answer not empty and valid UTF-8, row ids unique, answer
/// among the labels, instruction and cue in every prompt, groups where the metric needs them; references default to the
/// answer, source to what the spec says. Throws DataError naming `where` (a file, or the task) and the row.
void check_examples(const TaskSpec& spec, Split split, const std::string& where, std::vector<Example>& rows);

}  // namespace mneme::data
