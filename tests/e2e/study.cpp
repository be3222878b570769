#include "tests/e2e/study.h"

#include <fmt/format.h>

#include <thread>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/record/reader.h"

namespace mneme::test {
namespace fs = std::filesystem;

const char* const Study::kTwelveRuns = R"(defaults: [base, _self_]
name: twelve
stream: {order: [opinion, science], train_rows: 24, eval_rows: 4, test_rows: 6}
train: {batch_size: 4, epochs: 2, max_length: 256, learning_rate: 3.0e-3}
launcher: {jobs: 2, threads: 1, pin: false}
sweep: {grid: {strategy: [seq, er, ewc, ilora], seed: [1, 2, 3]}}
)";

namespace {
std::string bytes_of(const std::vector<double>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)};
}

std::string digest(const record::Record& record) {
  std::vector<double> losses;
  for (const StepEvent& step : record.steps()) losses.push_back(step.loss);
  for (const TermEvent& term : record.terms()) losses.push_back(term.value);
  std::string all = bytes_of(record.scores().values) + bytes_of(losses);
  for (const ExampleEvent& example : record.examples())
    all += fmt::format("{}|{}|{}|{}|", example.after, example.task, example.row_id, example.prediction);
  return sha256_hex(all);
}
}  // namespace

Study::Study(const std::string& experiment) { write("exp.yaml", experiment); }

void Study::write(const std::string& name, const std::string& text) const {
  fs::create_directories((*this / name).parent_path());
  write_file_atomically(*this / name, text);
}

launch::ChildOptions Study::command(std::vector<std::string> arguments) const {
  launch::ChildOptions options;
  options.arguments = std::move(arguments);
  options.arguments.insert(options.arguments.begin(), (fs::path(MNEME_BINARY_DIR) / "bin" / "mneme").string());
  options.directory = path();
  options.environment = {{"MNEME_CACHE", (*this / "cache").string()}, {"MNEME_PLUGIN_PATH", MNEME_TEST_PLUGINS}};
  return options;
}

launch::Child Study::start(std::vector<std::string> arguments, const std::string& log) const {
  launch::ChildOptions options = command(std::move(arguments));
  options.log = *this / (log + ".log");
  return launch::Child(options);
}

Results Study::results(const std::string& directory) const {
  Results results;
  results.table = mneme({"table", directory, "--format", "csv"}).output;
  const launch::SweepDirectory home = sweep(directory);
  for (const auto& run : home.runs())
    results.runs[run.id] = digest(record::Record(*this / directory / run.id / "run.h5"));
  return results;
}

launch::ProcessExit wait_for(launch::Child& child) {
  std::optional<launch::ProcessExit> exit;
  while (!(exit = child.poll())) sleep_seconds(0.01);
  return *exit;
}

void sleep_seconds(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

}  // namespace mneme::test
