#include "core/data/stream_check.h"

#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"

namespace mneme::data {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr std::size_t kMostRemembered = 20'000;

/// Size and time of a file, "" where there is none.
std::string stamp(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return "";
  return fmt::format("{}@{}.{}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

/// Everything of a spec that decides whether a row is good.
std::string spec_text(const TaskSpec& spec) {
  const Json parts{spec.metric,
                   spec.more_metrics,
                   spec.labels,
                   spec.instruction,
                   spec.cue,
                   spec.keep_from,
                   static_cast<int>(spec.source)};
  return parts.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A digest of everything that the rows of one task depend on.
std::string key_of(const StreamOptions& options, const TaskSpec& spec) {
  const fs::path directory = fs::absolute(task_directory(options, spec));
  std::string text = fmt::format("files|{}|{}|{}|{}|{}|{}", directory.string(), spec.name, options.max_train,
                                 options.max_eval, options.max_test, options.seed);
  for (const Split split : kSplits)
    for (const char* kind : {"", "_refs", "_ids"})
      text += "|" + stamp(directory / fmt::format("{}{}.json", to_string(split), kind));
  return sha256_hex(text + spec_text(spec));
}

std::string key_of(const Mini8Options& options, const TaskSpec& spec) {
  return sha256_hex(fmt::format("mini8|{}|{}|{}|{}|{}", spec.name, options.seed, options.train_rows, options.eval_rows,
                                options.test_rows));
}

SplitSize measure(const Task& task, Split split) {
  SplitSize size;
  for (const Example& row : task.split(split)) {
    ++size.rows;
    size.prompt_bytes += static_cast<std::int64_t>(row.prompt.size());
    size.answer_bytes += static_cast<std::int64_t>(row.answer.size());
  }
  return size;
}

}  // namespace

StreamChecker::StreamChecker(fs::path memory) : file_(std::move(memory)) {
  if (file_.empty() || !fs::exists(file_)) return;
  const Json json = Json::parse(read_file(file_), nullptr, false);
  if (!json.is_object()) return;
  for (const auto& [key, values] : json.items()) {
    if (!values.is_array() || values.size() != 3 * std::size(kSplits)) continue;
    Sizes sizes;
    bool good = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
      good = good && values[i].is_number_integer();
      if (!good) break;
      SplitSize& size = sizes[i / 3];
      (i % 3 == 0 ? size.rows : i % 3 == 1 ? size.prompt_bytes : size.answer_bytes) = values[i].get<std::int64_t>();
    }
    if (good) known_[key] = sizes;
  }
}

TaskSize StreamChecker::check(const Task& task, const std::string& key) {
  auto known = known_.find(key);
  if (known == known_.end()) {
    Sizes sizes;
    for (const Split split : kSplits) sizes[static_cast<std::size_t>(split)] = measure(task, split);
    known = known_.emplace(key, sizes).first;
    changed_ = true;
  }
  return {task.spec(), known->second};
}

std::vector<TaskSize> StreamChecker::check(const StreamOptions& options) {
  std::vector<TaskSize> sizes;
  for (const Task& task : load_stream(options).tasks) sizes.push_back(check(task, key_of(options, task.spec())));
  return sizes;
}

std::vector<TaskSize> StreamChecker::check(const Mini8Options& options) {
  std::vector<TaskSize> sizes;
  for (const Task& task : mini8_stream(options).tasks) sizes.push_back(check(task, key_of(options, task.spec())));
  return sizes;
}

void StreamChecker::save() const {
  if (file_.empty() || !changed_) return;
  Json json = Json::object();
  for (const auto& [key, sizes] : known_) {
    if (json.size() == kMostRemembered) break;
    for (const SplitSize& size : sizes)
      for (const std::int64_t value : {size.rows, size.prompt_bytes, size.answer_bytes}) json[key].push_back(value);
  }
  std::error_code error;
  fs::create_directories(file_.parent_path(), error);
  if (error || ::access(file_.parent_path().c_str(), W_OK) != 0) return;
  write_file_atomically(file_, json.dump());
}

}  // namespace mneme::data
