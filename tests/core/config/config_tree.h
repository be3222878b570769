#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/config/config.h"

namespace mneme::config {

/// A directory of config files that lives as long as the object.
class ConfigTree {
 public:
  ConfigTree(std::initializer_list<std::pair<std::string, std::string>> files) {
    static std::atomic<int> number = 0;
    root = std::filesystem::temp_directory_path() / fmt::format("mneme-config-{}-{}", ::getpid(), number++);
    std::filesystem::create_directories(root);
    for (const auto& [path, text] : files) write(path, text);
  }
  ~ConfigTree() {
    std::error_code ignored;
    std::filesystem::remove_all(root, ignored);
  }
  ConfigTree(const ConfigTree&) = delete;
  ConfigTree& operator=(const ConfigTree&) = delete;

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root / path).parent_path());
    write_file_atomically(root / path, text);
  }

  Request request(std::vector<std::string> overrides = {}, bool multirun = false) const {
    return {root / "config.yaml", std::move(overrides), multirun, {}};
  }
  Composition compose(std::vector<std::string> overrides = {}) const {
    return mneme::config::compose(request(std::move(overrides)));
  }
  std::string yaml(std::vector<std::string> overrides = {}) const {
    return dump_yaml(compose(std::move(overrides)).config);
  }
  Plan plan(std::vector<std::string> overrides = {}, bool multirun = false) const {
    return mneme::config::plan(request(std::move(overrides), multirun));
  }

  std::filesystem::path root;
};

/// The overrides of every run of a plan, joined by blanks.
inline std::vector<std::string> run_texts(const Plan& plan) {
  std::vector<std::string> texts;
  for (const PlannedRun& run : plan.runs) texts.push_back(fmt::format("{}", fmt::join(run.overrides, " ")));
  return texts;
}

}  // namespace mneme::config
