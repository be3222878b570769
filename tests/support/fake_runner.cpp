// Stands in for mneme-run where launching is tested: keeps its contract, and misbehaves as its config says.
//
//   fake_runner validate --runs FILE      refuses configs with fake.invalid, prints a fact per run
//   fake_runner run DIR                   fake.steps steps of fake.step_ms, a checkpoint after each
//
// fake.behave: ok | exit | throw | abort | segv | kill | diverge | hang | deaf | memory; from step fake.at on, in the
// first fake.attempts attempts (0: in every one).
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/base/file.h"
#include "core/record/writer.h"

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

std::atomic<int> stop_requests{0};

Json fake_section(const Json& config) {
  return config.contains("fake") && config["fake"].is_object() ? config["fake"] : Json::object();
}

int validate(const fs::path& file) {
  int errors = 0;
  Json facts = Json::array();
  for (const auto& run : Json::parse(mneme::read_file(file))) {
    const Json fake = fake_section(run.at("config"));
    if (fake.contains("invalid")) {
      fmt::print(stderr, "run {}: {}\n", run.at("id").get<std::string>(), fake["invalid"].get<std::string>());
      ++errors;
    }
    facts.push_back({{"id", run.at("id")},
                     {"memory_bytes", fake.value("memory_bytes", 1 << 20)},
                     {"disk_bytes", 1 << 10},
                     {"strategy", fake.value("behave", "ok")},
                     {"family", "fake"},
                     {"train_work", fake.value("steps", 5)},
                     {"eval_work", 2},
                     {"first_work", 1}});
  }
  fmt::print("{}\n", facts.dump());
  return errors == 0 ? 0 : 1;
}

void append(const fs::path& file, const std::string& line) { std::ofstream(file, std::ios::app) << line << "\n"; }

[[noreturn]] void end_record(mneme::record::RecordWriter& record, mneme::RunStatus status, const std::string& error,
                             int code) {
  record.end(status, error);
  std::_Exit(code);
}

void misbehave(const std::string& how, mneme::record::RecordWriter& record) {
  if (how == "exit") end_record(record, mneme::RunStatus::kFailed, "the fake was told to fail", 7);
  if (how == "diverge") end_record(record, mneme::RunStatus::kDiverged, "loss is nan at step 3", 3);
  if (how == "throw") throw std::runtime_error("the fake was told to throw");
  if (how == "abort") std::abort();
  if (how == "segv") ::raise(SIGSEGV);
  if (how == "kill") ::raise(SIGKILL);
  if (how == "memory") {
    std::vector<std::vector<char>> blocks;
    for (int i = 0; i < (1 << 20); ++i) blocks.emplace_back(std::size_t{1} << 40, 'x');
  }
  if (how == "hang" || how == "deaf") {
    while (how == "deaf" || stop_requests == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void write_progress(const fs::path& directory, int step, int steps, int step_ms) {
  mneme::write_file_atomically(directory / "progress.json", Json{{"phase", "train"},
                                                                 {"task", 1},
                                                                 {"tasks", 1},
                                                                 {"step", step},
                                                                 {"steps", steps},
                                                                 {"done", step},
                                                                 {"total", steps},
                                                                 {"eta_seconds", 0.001 * step_ms * (steps - step)},
                                                                 {"note", "fake"},
                                                                 {"updated", ""}}
                                                                .dump());
}

int run(const fs::path& directory) {
  const Json config = Json::parse(mneme::read_file(directory / ".hydra" / "resolved.json"));
  const Json fake = fake_section(config);
  const int steps = fake.value("steps", 5);
  const std::string how = fake.value("behave", "ok");
  append(directory / "starts.txt", std::to_string(::getpid()));
  std::ifstream starts(directory / "starts.txt");
  int attempt = 0;
  for (std::string line; std::getline(starts, line);) ++attempt;
  const int bad_attempts = fake.value("attempts", 0);
  const bool bad = how != "ok" && (bad_attempts == 0 || attempt <= bad_attempts);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
    std::signal(
        number, how == "deaf" && bad ? SIG_IGN : +[](int) { ++stop_requests; });
  }
  mneme::RunInfo info;
  info.run_id = directory.filename().string();
  info.config = config.dump();
  info.overrides = "[]";
  for (const char* name : {"one", "two"}) {
    mneme::TaskInfo task;
    task.name = name;
    task.metric = "accuracy";
    info.tasks.push_back(std::move(task));
  }
  const fs::path checkpoint = directory / "checkpoints" / "step";
  fs::create_directories(checkpoint.parent_path());
  const int first = fs::exists(checkpoint) ? std::stoi(mneme::read_file(checkpoint)) : 0;
  const auto record = mneme::record::RecordWriter::resume(directory / "run.h5", {});
  record->begin(info);
  fmt::print("threads {} gpus {} cwd {}\n", std::getenv("OMP_NUM_THREADS") ? std::getenv("OMP_NUM_THREADS") : "-",
             std::getenv("CUDA_VISIBLE_DEVICES") ? std::getenv("CUDA_VISIBLE_DEVICES") : "-",
             fs::current_path().string());
  for (int step = first; step < steps; ++step) {
    if (bad && step == fake.value("at", 0)) misbehave(how, *record);
    if (stop_requests > 0) {
      fmt::print("stopped at step {}\n", step);
      return 4;
    }
    write_progress(directory, step, steps, fake.value("step_ms", 2));
    std::this_thread::sleep_for(std::chrono::milliseconds(fake.value("step_ms", 2)));
    append(directory / "steps.txt", std::to_string(step));
    mneme::write_file_atomically(checkpoint, std::to_string(step + 1));
  }
  for (int after = 0; after <= 2; ++after) {
    for (int task = 1; task <= 2; ++task) record->score({after, task, "accuracy", true, 0.25 * (after + task - 1)});
  }
  record->cost({.task = 1, .train_seconds = 2.0 * steps, .eval_seconds = 6, .state_bytes = 0});
  record->end(mneme::RunStatus::kDone, "");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 3 && arguments[0] == "validate") return validate(arguments[2]);
    if (arguments.size() == 2 && arguments[0] == "run") return run(arguments[1]);
  } catch (const std::exception& e) {
    fmt::print(stderr, "mneme-run: {}\n", e.what());
    return 1;
  }
  fmt::print(stderr, "usage: fake_runner validate --runs FILE | run DIR\n");
  return 2;
}
