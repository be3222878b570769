#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/data/task.h"

namespace mneme::data {

/// A stream of tasks in files.
struct StreamOptions {
  std::string name;
  std::filesystem::path root;      ///< data root: the directory that holds one directory per suite
  std::string directory;           ///< of the suite below the root
  std::vector<TaskSpec> tasks;     ///< specs, in any order, more than `order` names if need be
  std::vector<std::string> order;  ///< names of tasks in training order; empty: all, as listed
  std::int64_t max_train = 0;      ///< rows per task at most, 0: all. See take_subset() for which.
  std::int64_t max_eval = 0;       ///< likewise
  std::int64_t max_test = 0;       ///< likewise
  std::uint64_t seed = 42;         ///< of the subsets, not of the run: runs of other seeds see the same rows
};

/// Tasks in training order.
struct Stream {
  std::string name;
  std::vector<Task> tasks;
};

/// Checks the options (names, metrics, order; files are there) and makes the stream; rows are read when first used.
/// Throws DataError; for missing files one message names all of them and says where the data is to be had.
Stream load_stream(const StreamOptions& options);

/// The data set's directory.
std::filesystem::path task_directory(const StreamOptions& options, const TaskSpec& spec);

/// The files of the ordered tasks that are not there. Throws DataError for wrong options.
std::vector<std::filesystem::path> missing_files(const StreamOptions& options);

/// What to do about missing files, in one sentence.
std::string where_to_get(const StreamOptions& options);

/// Which rows of a split remain of at most `limit` (0: all): rows are taken in the order of a random permutation named
/// by (seed, task, split) until `limit` is reached, and kept in file order. A smaller limit's rows are therefore among
/// a larger one's. Rows of a group stay together: groups are permuted instead, and the first that does not fit ends it.
std::vector<Example> take_subset(std::vector<Example> rows, std::int64_t limit, std::uint64_t seed,
                                 const std::string& purpose);

}  // namespace mneme::data
