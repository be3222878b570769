#pragma once

#include <cstdint>
#include <filesystem>

#include "core/data/task.h"

namespace mneme::data {

/// Rows of a data set in the layout that TRACE and LLMCL read, all files UTF-8 JSON:
///   <directory>/{train,eval,test}.json        array of {"prompt": string, "answer": string}
///   <directory>/<split>_refs.json (optional)  array of arrays of strings: all references of each row
///   <directory>/<split>_ids.json (optional)   array of strings: row ids; in "a|b|c" the part before the last | is the
///                                             group ("dialogue|turn|slot")
/// Side files are parallel to the split's rows; another length is an error.
struct FileSourceOptions {
  std::filesystem::path directory;
  std::int64_t limits[std::size(kSplits)] = {0, 0, 0};  ///< rows of train, eval, test at most; 0: all
  std::uint64_t seed = 42;                              ///< of the subsets, see take_subset()
};

/// The rows of one file. Throws DataError naming file and row for malformed JSON, wrong types and unknown keys.
std::vector<Example> read_rows(const std::filesystem::path& file);

class FileSource final : public TaskSource {
 public:
  FileSource(TaskSpec spec, FileSourceOptions options) : spec_(std::move(spec)), options_(std::move(options)) {}

  /// Throws DataError naming file and row for malformed JSON, wrong types, unknown keys, side files of another length,
  /// and what check_examples() finds; a file without rows is an error too.
  std::vector<Example> load(Split split) const override;
  std::string sha256(Split split) const override;

  std::filesystem::path path(Split split) const;

 private:
  TaskSpec spec_;
  FileSourceOptions options_;
};

}  // namespace mneme::data
