#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/data/mini8.h"
#include "core/data/stream.h"
#include "core/data/task.h"

namespace mneme::data {

/// Text of one row.
struct RowSize {
  std::int64_t prompt_bytes = 0, answer_bytes = 0;

  std::int64_t bytes() const { return prompt_bytes + answer_bytes; }
};

/// How much text a split holds.
struct SplitSize {
  std::int64_t rows = 0;
  std::int64_t prompt_bytes = 0, answer_bytes = 0;  ///< of all rows
  std::vector<RowSize> longest;                     ///< at most kLongestRows, the longest first
  std::string specimen;                             ///< how the longest prompt begins: some KiB, whole characters
};

/// As many as a micro-batch may reasonably have.
constexpr std::size_t kLongestRows = 64;

/// A task whose rows were found good.
struct TaskSize {
  TaskSpec spec;
  std::array<SplitSize, std::size(kSplits)> splits;

  const SplitSize& split(Split split) const { return splits[static_cast<std::size_t>(split)]; }
};

/// Reads every row of streams before anything runs, and remembers what it has found good: within the program, so that
/// runs of a sweep share the work, and in a file, so that the next sweep is checked at once. Rows in files count as
/// known as long as the files' sizes and times and the task's spec stay.
class StreamChecker {
 public:
  /// \param memory a file that need not exist; "" for none. One that cannot be read counts as empty.
  explicit StreamChecker(std::filesystem::path memory);

  /// The tasks in training order, all their rows checked. Throws DataError for missing files, with where to get them,
  /// and for the first bad row, with file and index.
  std::vector<TaskSize> check(const StreamOptions& stream);
  std::vector<TaskSize> check(const Mini8Options& stream);

  /// Writes what was learnt; a file that cannot be written is left as it is.
  void save() const;

 private:
  using Sizes = std::array<SplitSize, std::size(kSplits)>;
  /// \param key digest of everything that the task's rows depend on
  TaskSize check(const Task& task, const std::string& key);

  std::filesystem::path file_;
  std::map<std::string, Sizes> known_;  ///< by digest of everything that the rows depend on
  bool changed_ = false;
};

}  // namespace mneme::data
