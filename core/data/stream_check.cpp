#include "core/data/stream_check.h"

#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/unicode.h"

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

/// The longest part of the text that ends within `most` bytes and with a whole character.
std::string_view beginning(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && is_continuation(text[most])) --most;
  return text.substr(0, most);
}

SplitSize measure(const Task& task, Split split) {
  constexpr std::size_t kSpecimen = 4096;
  SplitSize size;
  for (const Example& row : task.split(split)) {
    const RowSize bytes{static_cast<std::int64_t>(row.prompt.size()), static_cast<std::int64_t>(row.answer.size())};
    ++size.rows;
    size.prompt_bytes += bytes.prompt_bytes;
    size.answer_bytes += bytes.answer_bytes;
    auto& longest = size.longest;
    const auto place = std::upper_bound(longest.begin(), longest.end(), bytes.bytes(),
                                        [](std::int64_t b, const RowSize& other) { return b > other.bytes(); });
    if (place == longest.begin()) size.specimen = beginning(row.prompt, kSpecimen);
    longest.insert(place, bytes);
    if (longest.size() > kLongestRows) longest.pop_back();
  }
  return size;
}

Json to_json(const SplitSize& size) {
  Json longest = Json::array();
  for (const RowSize& row : size.longest) longest.push_back({row.prompt_bytes, row.answer_bytes});
  return {{"rows", size.rows},
          {"prompt", size.prompt_bytes},
          {"answer", size.answer_bytes},
          {"longest", std::move(longest)},
          {"text", size.specimen}};
}

SplitSize read_size(const Json& json) {
  SplitSize size;
  json.at("rows").get_to(size.rows);
  json.at("prompt").get_to(size.prompt_bytes);
  json.at("answer").get_to(size.answer_bytes);
  json.at("text").get_to(size.specimen);
  for (const Json& row : json.at("longest")) size.longest.push_back({row.at(0), row.at(1)});
  return size;
}

}  // namespace

StreamChecker::StreamChecker(fs::path memory) : file_(std::move(memory)) {
  if (file_.empty() || !fs::exists(file_)) return;
  const Json json = Json::parse(read_file(file_), nullptr, false);
  if (!json.is_object()) return;
  for (const auto& [key, splits] : json.items()) {
    try {
      Sizes sizes;
      for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = read_size(splits.at(i));
      known_[key] = std::move(sizes);
    } catch (const Json::exception&) {
      continue;  // of another version, or damaged: the rows are read again
    }
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
    for (const SplitSize& size : sizes) json[key].push_back(to_json(size));
  }
  std::error_code error;
  fs::create_directories(file_.parent_path(), error);
  if (error || ::access(file_.parent_path().c_str(), W_OK) != 0) return;
  write_file_atomically(file_, json.dump());
}

}  // namespace mneme::data
