#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "core/event/event.h"
#include "core/record/reader.h"
#include "tests/support/temporary_directory.h"

namespace mneme::test {

inline RunInfo sample_info() {
  RunInfo info;
  info.run_id = "0123456789ab";
  info.config = "seed: 7\nstrategy:\n  name: ewc\n  lambda: 0.5\n";
  info.overrides = "- seed=7\n";
  info.environment = {{"program_version", "0.1.0"}, {"cpu", "a processor"}, {"strategy", "ewc"}};
  info.environment_integers = {{"threads", 2}, {"seed", 7}};
  for (const char* name : {"news", "café", "sums"})
    info.tasks.push_back({name, "accuracy", 100, 10, 20, std::string(64, 'a'), std::string(64, 'b'), ""});
  return info;
}

/// A made-up run of three tasks as a list of small units of work, so that tests can stop and go on anywhere.
class SampleRun {
 public:
  static constexpr std::int64_t kUnits = 3 * 40;

  /// Emits what unit `unit` (from 0) of the run tells.
  static void emit(RunSink& sink, std::int64_t unit) {
    const std::int64_t task = unit / 40 + 1, within = unit % 40;
    for (std::int64_t i = 0; i < 30; ++i) {
      const std::int64_t step = unit * 30 + i + 1;
      sink.step({task, 1, within / 20 + 1, step, 1e-3 / static_cast<double>(step), std::sin(step), 128, 0.25});
      sink.term({step, "cross_entropy", std::cos(step)});
      sink.term({step, "ewc", 0.1 * static_cast<double>(step)});
    }
    if (within != 39) return;
    for (std::int64_t other = 1; other <= 3; ++other) {
      for (int row = 0; row < 20; ++row)
        sink.example(
            {task, other, fmt::format("row-{}", row), fmt::format("answer {} é {}", task, row), row % 2 * 1.0});
      sink.score({task, other, "accuracy", true, 0.1 * static_cast<double>(task + other)});
      sink.score({task, other, "rouge_l", false, 0.01 * static_cast<double>(task * other)});
    }
    sink.cost({task, 1.5, 0.5, 0.25, 1000 * task, 1e12, 1 << 20, 4096, 8192});
    sink.array({fmt::format("router/confusion/{}", task), {2, 2}, {1, 0, 0.5, static_cast<double>(task)}});
  }
};

/// Everything a record holds as text, but for its times.
inline std::string dump(const std::filesystem::path& file) {
  const record::Record r(file);
  const RunInfo info = r.info();
  std::string out = fmt::format("{} {} '{}'\n{}{}{} {}\n", r.run_id(), to_string(r.status()), r.error(), info.config,
                                info.overrides, info.environment, info.environment_integers);
  for (const auto& t : info.tasks)
    out += fmt::format("task {} {} {} {} {} {} {} {}\n", t.name, t.metric, t.train_rows, t.eval_rows, t.test_rows,
                       t.train_sha256, t.eval_sha256, t.test_sha256);
  for (const auto& s : r.steps())
    out += fmt::format("step {} {} {} {} {} {} {} {}\n", s.task, s.phase, s.epoch, s.step, s.lr, s.loss, s.tokens,
                       s.seconds);
  for (const auto& t : r.terms()) out += fmt::format("term {} {} {}\n", t.step, t.name, t.value);
  for (const auto& e : r.examples())
    out += fmt::format("example {} {} {} {} {}\n", e.after, e.task, e.row_id, e.prediction, e.score);
  for (const auto& c : r.costs())
    out += fmt::format("cost {} {} {} {} {} {} {} {} {}\n", c.task, c.train_seconds, c.eval_seconds, c.strategy_seconds,
                       c.tokens, c.flops, c.peak_bytes, c.trainable_parameters, c.state_bytes);
  const auto add = [&](const std::string& name, const record::Array& array) {
    out += fmt::format("{} {} {}\n", name, array.shape, array.values);
  };
  add("R", r.scores());
  for (const auto& id : r.metric_ids()) add(id, r.metric(id));
  for (const auto& name : r.array_names()) add(name, r.array(name));
  return out;
}

}  // namespace mneme::test
