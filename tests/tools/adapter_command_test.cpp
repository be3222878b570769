#include "core/base/file.h"
#include "core/record/writer.h"
#include "tests/core/record/sample_run.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {
test::Outcome adapter(const std::string& arguments) { return test::run_program("mneme", "adapter " + arguments); }

/// A run of the tasks news, café and sums, with adapters of after the first and the second.
void write_run(const fs::path& run) {
  fs::create_directories(run / "adapters/1");
  record::RecordWriter writer(run / "run.h5");
  writer.begin(test::sample_info());
  writer.end(RunStatus::kDone, "");
  write_file_atomically(run / "adapters/1/adapter_config.json", "first");
  for (const char* name : {"fast", "slow"}) {
    fs::create_directories(run / "adapters/2" / name);
    write_file_atomically(run / "adapters/2" / name / "adapter_config.json", name);
  }
}
}  // namespace

TEST_CASE("mneme adapter export copies a run's adapters", "[command]") {
  const test::TemporaryDirectory directory;
  const fs::path run = directory / "run";
  write_run(run);
  CHECK(adapter(fmt::format("export {} --out {}", run.string(), (directory / "last").string())).code == 0);
  CHECK(read_file(directory / "last" / "slow" / "adapter_config.json") == "slow");
  CHECK(read_file(directory / "last" / "fast" / "adapter_config.json") == "fast");
  for (const char* task : {"news", "1"}) {
    const fs::path out = directory / task;
    CHECK(adapter(fmt::format("export --after {} {} --out {}", task, run.string(), out.string())).code == 0);
    CHECK(read_file(out / "adapter_config.json") == "first");
  }
}

TEST_CASE("mneme adapter export says what is wrong", "[command]") {
  const test::TemporaryDirectory directory;
  const fs::path run = directory / "run";
  write_run(run);
  const auto refuse = [&](const std::string& arguments, int code, const std::string& message) {
    const test::Outcome outcome = adapter(arguments);
    CHECK(outcome.code == code);
    CHECK_THAT(outcome.output, Contains(message));
  };
  const std::string out = " --out " + (directory / "out").string();
  refuse("export " + run.string() + " --after sums" + out, 1,
         "no adapters of after task 3; there are those of after 1, 2");
  refuse("export " + run.string() + " --after new" + out, 1, "no task 'new'; did you mean 'news'?");
  refuse("export " + run.string() + " --out " + run.string(), 1, "is there and not empty");
  refuse("export " + (directory / "nowhere").string() + out, 1, "nowhere");
  refuse("export " + run.string(), 2, "expected RUN and --out DIR");
  refuse("import", 2, "unknown action 'import'");
  CHECK(!fs::exists(directory / "out"));
}
