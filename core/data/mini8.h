#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/stream.h"

namespace mneme::data {

/// How many rows of each `mini8` task are generated, and from which seed.
struct Mini8Options {
  std::uint64_t seed = 0;            ///< of the rows, not of the run: runs of other seeds see the same rows
  std::int64_t train_rows = 256;     ///< per task
  std::int64_t eval_rows = 16;       ///< per task
  std::int64_t test_rows = 40;       ///< per task
  std::vector<std::string> order{};  ///< names of tasks in training order; empty: all, in the order of mini8_names()
};

/// The names of the eight tasks of `mini8` in their usual order: opinion, rates, minutes, science, arithmetic,
/// simplify, medicine, law. They mirror C-STANCE, FOMC, MeetingBank, ScienceQA, NumGLUE-cm, 20Minuten, medmcqa and
/// jecqa.
const std::vector<std::string>& mini8_names();

/// The spec of a task. Throws DataError with the nearest name if there is no such task.
TaskSpec mini8_spec(std::string_view name);

/// One split of a task, generated: the same options give the same rows on every machine. No prompt repeats within a
/// task, within or across splits; the kinds of answer are balanced within each split. More train rows leave test and
/// eval as they are. Throws DataError if there is no such task, or if it cannot have as many distinct rows.
std::vector<Example> mini8_rows(std::string_view name, Split split, const Mini8Options& options);

/// The stream `mini8`. Rows are generated when first used. Throws DataError for an unknown or repeated name in `order`.
Stream mini8_stream(const Mini8Options& options);

}  // namespace mneme::data
