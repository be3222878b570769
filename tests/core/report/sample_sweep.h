#pragma once

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/record/writer.h"
#include "core/report/result.h"
#include "tests/core/record/sample_run.h"

namespace mneme::test {

/// A made-up run for tables: R follows from few numbers, so that expected metrics can be worked out by hand.
struct SampleResult {
  std::string strategy;
  std::int64_t seed = 1;
  double learnt = 0.8;    ///< R[j][j]
  double lost = 0.0;      ///< what each later task takes from an earlier one
  std::string more = {};  ///< further YAML lines of the config
  RunStatus status = RunStatus::kDone;
  std::string error = {};
  std::vector<std::string> tasks{"news", "sums", "law"};
};

/// Writes run.h5 of the sample below `sweep` under the id that its config gives; returns that id.
inline std::string write_result(const std::filesystem::path& sweep, const SampleResult& sample) {
  RunInfo info;
  info.config = fmt::format("seed: {}\nstrategy:\n  name: {}\n{}", sample.seed, sample.strategy, sample.more);
  info.run_id = sha256_hex(info.config).substr(0, 12);
  for (const std::string& task : sample.tasks) info.tasks.push_back({task, "accuracy", 100, 10, 10, "", "", ""});
  std::filesystem::create_directories(sweep / info.run_id);
  record::RecordWriter writer(sweep / info.run_id / "run.h5");
  writer.begin(info);
  const auto count = static_cast<std::int64_t>(sample.tasks.size());
  for (std::int64_t after = 0; after <= count; ++after) {
    if (sample.status != RunStatus::kDone && after > 1) break;
    for (std::int64_t task = 1; task <= count; ++task) {
      const double value = task > after ? 0.25 : sample.learnt - sample.lost * static_cast<double>(after - task);
      writer.score({after, task, "accuracy", true, value});
      writer.score({after, task, "rouge_l", false, value / 2});
    }
    if (after > 0) writer.cost({after, 30.5, 4, 1, 2000, 1e12, (100 + after) << 20, 50000, after << 10});
  }
  if (sample.status == RunStatus::kRunning) {
    writer.checkpoint();
  } else {
    writer.end(sample.status, sample.error);
  }
  return info.run_id;
}

/// Two strategies with three seeds, and what goes wrong in practice: a failed run, a missing seed, one that was killed.
inline void write_sweep(const std::filesystem::path& sweep) {
  std::string runs;
  const auto add = [&](const SampleResult& sample) {
    const std::string id = write_result(sweep, sample);
    runs += fmt::format("{{\"id\": \"{}\", \"overrides\": [\"strategy={}\", \"seed={}\"], \"status\": \"done\"}},\n",
                        id, sample.strategy, sample.seed);
  };
  add({"seq", 1, 0.80, 0.20});
  add({"seq", 2, 0.82, 0.20});
  add({"seq", 3, 0.84, 0.20});
  add({"ewc", 1, 0.70, 0.05});
  add({"ewc", 2, 0.74, 0.05});
  add({.strategy = "ewc", .seed = 3, .status = RunStatus::kFailed, .error = "out of memory: 3 GiB asked\nmore"});
  add({"o_lora", 1, 0.75, 0.01});
  add({.strategy = "o_lora", .seed = 2, .status = RunStatus::kRunning});
  runs += R"({"id": "aaaaaaaaaaaa", "overrides": ["strategy=o_lora", "seed=3"], "status": "pending"})";
  write_file_atomically(sweep / "runs.json", "[\n" + runs + "\n]\n");
}

}  // namespace mneme::test
