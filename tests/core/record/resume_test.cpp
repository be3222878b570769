#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/record/reader.h"
#include "core/record/writer.h"
#include "tests/core/record/sample_run.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::record;
using Catch::Contains;
using test::SampleRun;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

namespace {
/// What a trainer would keep at a checkpoint: where it is, and where the record was.
struct TrainerState {
  std::int64_t unit = 0;
  Position position;
};

TrainerState load_state(const fs::path& file) {
  TrainerState state;
  if (!fs::exists(file)) return state;
  std::istringstream in(read_file(file));
  Position& p = state.position;
  in >> state.unit >> p.steps >> p.terms >> p.examples >> p.costs;
  return state;
}

void save_state(const fs::path& file, std::int64_t unit, const Position& p) {
  write_file_atomically(file, fmt::format("{} {} {} {} {}", unit, p.steps, p.terms, p.examples, p.costs));
}

/// Runs, or goes on, to the end; a checkpoint every five units: the record first, then the trainer's state.
void run_sample(const fs::path& directory) {
  const TrainerState state = load_state(directory / "state");
  const auto writer = RecordWriter::resume(directory / "run.h5", state.position);
  writer->begin(test::sample_info());
  for (std::int64_t unit = state.unit; unit < SampleRun::kUnits; ++unit) {
    SampleRun::emit(*writer, unit);
    if (unit % 5 != 4) continue;
    writer->checkpoint();
    save_state(directory / "state", unit + 1, writer->position());
  }
  writer->end(RunStatus::kDone, "");
}

/// Runs the sample in a child process and kills it after `microseconds`. Returns whether it was killed before its end.
bool run_and_kill(const fs::path& directory, std::uint64_t microseconds) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    run_sample(directory);
    ::_exit(0);
  }
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}
}  // namespace

TEST_CASE("a run killed anywhere and resumed gives the record of an uninterrupted one", "[record][resume]") {
  TemporaryDirectory whole("whole");
  const auto start = std::chrono::steady_clock::now();
  run_sample(whole.path());
  const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
  const std::string expected = test::dump(whole / "run.h5");

  RandomStream random(1, "kill");
  int kills = 0;
  for (int round = 0; round < 12; ++round) {
    TemporaryDirectory directory("killed");
    const auto longest = static_cast<std::uint64_t>(duration.count());
    for (int attempt = 0; attempt < 6 && run_and_kill(directory.path(), random.below(longest)); ++attempt) {
      ++kills;
      if (!fs::exists(directory / "run.h5")) continue;
      const Record record(directory / "run.h5");
      if (record.status() == RunStatus::kDone) break;
      CHECK(record.status() == RunStatus::kRunning);
      CHECK(record.steps().size() % 150 == 0);
    }
    if (!fs::exists(directory / "run.h5") || Record(directory / "run.h5").status() != RunStatus::kDone)
      run_sample(directory.path());
    CHECK(test::dump(directory / "run.h5") == expected);
  }
  CHECK(kills > 0);  // how many is a matter of timing
}

TEST_CASE("a record that is ahead of the trainer's state is cut back to it", "[record][resume]") {
  TemporaryDirectory directory("ahead"), whole("ahead-whole");
  run_sample(whole.path());
  {
    RecordWriter writer(directory / "run.h5");
    writer.begin(test::sample_info());
    for (std::int64_t unit = 0; unit < 60; ++unit) {
      SampleRun::emit(writer, unit);
      if (unit == 49) save_state(directory / "state", 50, writer.position());
    }
    writer.end(RunStatus::kFailed, "out of memory");
  }
  CHECK(Record(directory / "run.h5").steps().size() == 1800);
  run_sample(directory.path());
  CHECK(test::dump(directory / "run.h5") == test::dump(whole / "run.h5"));
}

TEST_CASE("a record is not resumed by another run, when done, or when it is too short", "[record][resume]") {
  TemporaryDirectory directory("refuse");
  CHECK_THROWS_WITH(RecordWriter::resume(directory / "run.h5", {.steps = 3}), Contains("the record is gone"));
  RecordWriter(directory / "run.h5").begin(test::sample_info());
  CHECK_THROWS_WITH(RecordWriter::resume(directory / "run.h5", {.steps = 3}),
                    Contains("/train/steps") && Contains("after 3 rows") && Contains("holds 0"));
  RunInfo other = test::sample_info();
  other.run_id = "ffffffffffff";
  CHECK_THROWS_WITH(RecordWriter::resume(directory / "run.h5", {})->begin(other),
                    Contains("another run") && Contains("ffffffffffff") && Contains("0123456789ab"));
  other = test::sample_info();
  other.config += "x: 1\n";
  CHECK_THROWS_WITH(RecordWriter::resume(directory / "run.h5", {})->begin(other), Contains("its config is"));

  const auto writer = RecordWriter::resume(directory / "run.h5", {});
  writer->begin(test::sample_info());
  writer->end(RunStatus::kDone, "");
  CHECK_THROWS_WITH(RecordWriter::resume(directory / "run.h5", {}), Contains("is done"));
  write_file_atomically(directory / "run.h5", "damaged");
  CHECK_THROWS_AS(RecordWriter::resume(directory / "run.h5", {}), RecordError);
}

TEST_CASE("the record of a run that died without a word is given its last one, and can still be resumed", "[resume]") {
  const TemporaryDirectory directory("record");
  const fs::path file = directory / "run.h5";
  CHECK_FALSE(mark_failed(file, "killed"));  // there is none
  Position position;
  {
    RecordWriter writer(file);
    writer.begin(test::sample_info());
    SampleRun::emit(writer, 0);
    writer.checkpoint();
    position = writer.position();
  }
  CHECK(mark_failed(file, "aborted (SIGABRT)"));
  CHECK(Record(file).status() == RunStatus::kFailed);
  CHECK(Record(file).error() == "aborted (SIGABRT)");
  CHECK(Record(file).finished() != "");
  CHECK(Record(file).steps().size() == 30);
  CHECK_FALSE(mark_failed(file, "again"));  // it has had its last word
  {
    const auto resumed = RecordWriter::resume(file, position);
    resumed->begin(test::sample_info());
    CHECK(Record(file).status() == RunStatus::kRunning);
    CHECK(Record(file).error().empty());
  }
  write_file_atomically(file, "not HDF5");
  CHECK_FALSE(mark_failed(file, "killed"));
  CHECK(read_file(file) == "not HDF5");
}
