#include "core/record/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/record/h5/h5.h"
#include "core/record/layout.h"
#include "core/record/seal.h"

namespace mneme::record {
namespace fs = std::filesystem;

Record::Record(const fs::path& file)
    : path_(file), file_(std::make_unique<h5::File>(h5::File::from_image(file, read_sealed(file)))) {
  if (!file_->has_attribute("/", "format") || file_->attribute_text("/", "format") != layout::kFormat)
    throw RecordError(fmt::format("{}: is an HDF5 file, but no run record: the attribute format=\"{}\" is missing",
                                  path_.string(), layout::kFormat));
  const std::int64_t version = file_->attribute_integer("/", "version");
  if (version != layout::kVersion)
    throw RecordError(fmt::format("{}: the record is of layout version {}; this program reads version {}{}",
                                  path_.string(), version, layout::kVersion,
                                  version > layout::kVersion ? "; use a newer one" : ""));
}

Record::Record(Record&&) noexcept = default;
Record& Record::operator=(Record&&) noexcept = default;
Record::~Record() = default;

std::string Record::run_id() const { return file_->attribute_text("/", "run_id"); }
std::string Record::error() const { return file_->attribute_text("/", "error"); }
std::string Record::started() const { return file_->attribute_text("/", "started"); }
std::string Record::finished() const { return file_->attribute_text("/", "finished"); }
std::string Record::config() const { return file_->read_text(layout::kResolved); }

RunStatus Record::status() const {
  const std::string text = file_->attribute_text("/", "status");
  for (const RunStatus status : {RunStatus::kRunning, RunStatus::kDone, RunStatus::kFailed, RunStatus::kDiverged})
    if (text == to_string(status)) return status;
  throw RecordError(
      fmt::format("{}: status is '{}'; expected running, done, failed or diverged", path_.string(), text));
}

RunInfo Record::info() const {
  RunInfo info;
  info.run_id = run_id();
  info.config = config();
  info.overrides = file_->read_text(layout::kOverrides);
  const auto& integers = layout::kEnvironmentIntegers;
  for (const std::string& name : file_->attributes(layout::kEnvironment)) {
    if (std::find(integers.begin(), integers.end(), name) != integers.end()) {
      info.environment_integers[name] = file_->attribute_integer(layout::kEnvironment, name);
    } else {
      info.environment[name] = file_->attribute_text(layout::kEnvironment, name);
    }
  }
  info.tasks = tasks();
  return info;
}

std::vector<TaskInfo> Record::tasks() const {
  const h5::Rows rows = file_->read_rows(layout::kTasks, layout::kTaskColumns);
  std::vector<TaskInfo> out;
  for (std::size_t i = 0; i < rows.size(); ++i)
    out.push_back({rows.text(i, 0), rows.text(i, 1), rows.integer(i, 2), rows.integer(i, 3), rows.integer(i, 4),
                   rows.text(i, 5), rows.text(i, 6), rows.text(i, 7)});
  return out;
}

std::vector<StepEvent> Record::steps() const {
  const h5::Rows rows = file_->read_rows(layout::kSteps, layout::kStepColumns);
  std::vector<StepEvent> out;
  for (std::size_t i = 0; i < rows.size(); ++i)
    out.push_back({rows.integer(i, 0), rows.integer(i, 1), rows.integer(i, 2), rows.integer(i, 3), rows.real(i, 4),
                   rows.real(i, 5), rows.integer(i, 6), rows.real(i, 7)});
  return out;
}

std::vector<TermEvent> Record::terms() const {
  const h5::Rows rows = file_->read_rows(layout::kTerms, layout::kTermColumns);
  std::vector<TermEvent> out;
  for (std::size_t i = 0; i < rows.size(); ++i) out.push_back({rows.integer(i, 0), rows.text(i, 1), rows.real(i, 2)});
  return out;
}

std::vector<ExampleEvent> Record::examples() const {
  const h5::Rows rows = file_->read_rows(layout::kExamples, layout::kExampleColumns);
  std::vector<ExampleEvent> out;
  for (std::size_t i = 0; i < rows.size(); ++i)
    out.push_back({rows.integer(i, 0), rows.integer(i, 1), rows.text(i, 2), rows.text(i, 3), rows.real(i, 4)});
  return out;
}

std::vector<CostEvent> Record::costs() const {
  const h5::Rows rows = file_->read_rows(layout::kCosts, layout::kCostColumns);
  std::vector<CostEvent> out;
  for (std::size_t i = 0; i < rows.size(); ++i)
    out.push_back({rows.integer(i, 0), rows.real(i, 1), rows.real(i, 2), rows.real(i, 3), rows.integer(i, 4),
                   rows.real(i, 5), rows.integer(i, 6), rows.integer(i, 7), rows.integer(i, 8)});
  return out;
}

Array Record::scores() const { return file_->read_array(layout::kScores); }
std::vector<std::string> Record::metric_ids() const { return file_->list_datasets(layout::kMetrics); }
Array Record::metric(const std::string& id) const {
  return file_->read_array(fmt::format("{}/{}", layout::kMetrics, id));
}
std::vector<std::string> Record::array_names() const { return file_->list_datasets(layout::kAnalysis); }
Array Record::array(const std::string& name) const {
  return file_->read_array(fmt::format("{}/{}", layout::kAnalysis, name));
}

std::vector<fs::path> find_records(const fs::path& directory) {
  constexpr const char* kName = "run.h5";
  if (!fs::exists(directory))
    throw RecordError(
        fmt::format("{}: no such directory; expected a run's, a sweep's or a results directory", directory.string()));
  if (fs::is_regular_file(directory)) return {directory};
  std::vector<fs::path> found;
  const auto options = fs::directory_options::skip_permission_denied;
  for (auto it = fs::recursive_directory_iterator(directory, options); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (name == "checkpoints" || name == "adapters" || name == ".hydra") it.disable_recursion_pending();
    if (name == kName && it->is_regular_file()) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace mneme::record
