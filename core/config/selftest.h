#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace mneme::config {

struct SelftestResult {
  int passed = 0;
  int failed = 0;
  std::map<std::string, int> deviations;  ///< cases held against a deviation, by its name
};

/// Runs a file of cases recorded from Hydra (one JSON object per line: env, tree, parse, compose, yaml_scalar, interp)
/// and reports every mismatch. Where Mneme deviates on purpose, the case is held against what the deviation says
/// instead. \param report  called with one text per mismatch Throws Error if the file cannot be read or a line is no
/// case.
SelftestResult run_selftest(const std::filesystem::path& file, const std::function<void(const std::string&)>& report);

}  // namespace mneme::config
