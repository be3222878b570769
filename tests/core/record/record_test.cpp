#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/record/h5/h5.h"
#include "core/record/reader.h"
#include "core/record/seal.h"
#include "core/record/writer.h"
#include "tests/core/record/sample_run.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::record;
using Catch::Contains;
using test::SampleRun;
using test::TemporaryDirectory;

namespace {
void write_sample(const std::filesystem::path& file) {
  RecordWriter writer(file);
  writer.begin(test::sample_info());
  for (std::int64_t unit = 0; unit < SampleRun::kUnits; ++unit) SampleRun::emit(writer, unit);
  writer.end(RunStatus::kDone, "");
}
}  // namespace

TEST_CASE("what is written is read", "[record]") {
  TemporaryDirectory directory("record");
  write_sample(directory / "run.h5");
  const Record record(directory / "run.h5");
  CHECK(record.run_id() == "0123456789ab");
  CHECK(record.status() == RunStatus::kDone);
  CHECK(record.error().empty());
  CHECK(record.started().size() == std::string("2026-01-01T00:00:00Z").size());
  CHECK(record.finished() >= record.started());

  const RunInfo info = record.info(), expected = test::sample_info();
  CHECK(info.config == expected.config);
  CHECK(info.overrides == expected.overrides);
  CHECK(info.environment.at("cpu") == "a processor");
  CHECK(info.environment.at("gpu").empty());
  CHECK(info.environment_integers == expected.environment_integers);
  REQUIRE(info.tasks.size() == 3);
  CHECK(info.tasks[1].name == "café");
  CHECK(info.tasks[1].eval_rows == 10);
  CHECK(info.tasks[1].eval_sha256 == std::string(64, 'b'));

  const auto steps = record.steps();
  REQUIRE(steps.size() == 3600);
  CHECK(steps[1234].step == 1235);
  CHECK(steps[1234].task == 2);
  CHECK(steps[1234].loss == std::sin(1235));
  CHECK(steps[1234].lr == 1e-3 / 1235);
  const auto terms = record.terms();
  REQUIRE(terms.size() == 7200);
  CHECK(terms[7199].name == "ewc");
  CHECK(terms[7199].value == 0.1 * 3600);
  const auto examples = record.examples();
  REQUIRE(examples.size() == 180);
  CHECK(examples[61].prediction == "answer 2 é 1");
  CHECK(examples[61].row_id == "row-1");
  const auto costs = record.costs();
  REQUIRE(costs.size() == 3);
  CHECK(costs[2].tokens == 3000);
  CHECK(costs[2].state_bytes == 8192);

  const Array scores = record.scores();
  CHECK(scores.shape == std::vector<std::int64_t>{4, 3});
  CHECK(std::isnan(scores.values[0]));
  CHECK(scores.values[1 * 3 + 2] == 0.1 * 4);
  CHECK(record.metric_ids() == std::vector<std::string>{"rouge_l"});
  CHECK(record.metric("rouge_l").values[3 * 3 + 1] == 0.01 * 6);
  CHECK(record.array_names() ==
        std::vector<std::string>{"router/confusion/1", "router/confusion/2", "router/confusion/3"});
  CHECK(record.array("router/confusion/3").values == std::vector<double>{1, 0, 0.5, 3});
}

TEST_CASE("the layout is the documented one", "[record]") {
  TemporaryDirectory directory("layout");
  write_sample(directory / "run.h5");
  {
    const h5::File file = h5::File::from_image("run.h5", read_sealed(directory / "run.h5"));
    CHECK(file.attributes("/") ==
          std::vector<std::string>{"error", "finished", "format", "run_id", "started", "status", "version"});
    CHECK(file.list_datasets("/") ==
          std::vector<std::string>{"analysis/router/confusion/1", "analysis/router/confusion/2",
                                   "analysis/router/confusion/3", "config/overrides", "config/resolved", "cost/tasks",
                                   "eval/examples", "eval/metrics/rouge_l", "eval/scores", "stream/tasks",
                                   "train/steps", "train/terms"});
    CHECK(file.attributes("/environment") ==
          std::vector<std::string>{"compiler", "cpu", "git_commit", "gpu", "libtorch", "plugin_fingerprint",
                                   "plugin_version", "program_version", "seed", "strategy", "threads"});
  }

  using Columns = std::vector<std::string>;
  const std::map<std::string, Columns> tables{
      {"/stream/tasks",
       {"name:s", "metric:s", "train_rows:i", "eval_rows:i", "test_rows:i", "train_sha256:s", "eval_sha256:s",
        "test_sha256:s"}},
      {"/train/steps", {"task:i", "phase:i", "epoch:i", "step:i", "lr:f", "loss:f", "tokens:i", "seconds:f"}},
      {"/train/terms", {"step:i", "name:s", "value:f"}},
      {"/eval/examples", {"after:i", "task:i", "row_id:s", "prediction:s", "score:f"}},
      {"/cost/tasks",
       {"task:i", "train_seconds:f", "eval_seconds:f", "strategy_seconds:f", "tokens:i", "flops:f", "peak_bytes:i",
        "trainable_parameters:i", "state_bytes:i"}}};
  const h5::Id raw(::H5Fopen((directory / "run.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  for (const auto& [path, expected] : tables) {
    CAPTURE(path);
    const h5::Id dataset(::H5Dopen2(raw, path.c_str(), H5P_DEFAULT)), type(::H5Dget_type(dataset)),
        creation(::H5Dget_create_plist(dataset)), space(::H5Dget_space(dataset));
    CHECK(::H5Pget_layout(creation) == H5D_CHUNKED);
    hsize_t now = 0, most = 0;
    ::H5Sget_simple_extent_dims(space, &now, &most);
    CHECK(most == H5S_UNLIMITED);
    Columns found;
    for (unsigned i = 0; i < static_cast<unsigned>(::H5Tget_nmembers(type)); ++i) {
      char* name = ::H5Tget_member_name(type, i);
      const h5::Id member(::H5Tget_member_type(type, i));
      const bool text = ::H5Tis_variable_str(member) > 0 && ::H5Tget_cset(member) == H5T_CSET_UTF8;
      const bool integer = ::H5Tequal(member, H5T_STD_I64LE) > 0, real = ::H5Tequal(member, H5T_IEEE_F64LE) > 0;
      found.push_back(fmt::format("{}:{}", name, text ? "s" : integer ? "i" : real ? "f" : "?"));
      ::H5free_memory(name);
    }
    CHECK(found == expected);
  }
}

TEST_CASE("an answer that is no text is kept readable", "[record]") {
  TemporaryDirectory directory("bytes");
  RecordWriter writer(directory / "run.h5");
  writer.begin(test::sample_info());
  writer.example({0, 1, "1", std::string("a\0\xFF", 3), 0});
  writer.end(RunStatus::kFailed, "bad byte \xFF");
  const Record record(directory / "run.h5");
  CHECK(record.examples().at(0).prediction == "a\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(record.error() == "bad byte \xEF\xBF\xBD");
  CHECK(record.status() == RunStatus::kFailed);
}

TEST_CASE("foreign and future files are refused by name and version", "[record]") {
  TemporaryDirectory directory("versions");
  h5::File file = h5::File::create_in_memory("memory");
  file.set_attribute("/", "other", "x");
  write_file_atomically(directory / "foreign.h5", file.image());
  CHECK_THROWS_WITH(Record(directory / "foreign.h5"), Contains("no run record") && Contains("mneme-run"));
  file.set_attribute("/", "format", "mneme-run");
  file.set_attribute("/", "version", std::int64_t{2});
  write_file_atomically(directory / "future.h5", file.image());
  CHECK_THROWS_WITH(Record(directory / "future.h5"), Contains("layout version 2") && Contains("reads version 1"));
  file.set_attribute("/", "version", std::int64_t{1});
  file.set_attribute("/", "status", "sleeping");
  write_file_atomically(directory / "status.h5", file.image());
  CHECK_THROWS_WITH(Record(directory / "status.h5").status(), Contains("'sleeping'") && Contains("diverged"));
  CHECK_THROWS_WITH(Record(directory / "status.h5").scores(), Contains("/eval/scores"));
}

TEST_CASE("wrong events are refused", "[record]") {
  TemporaryDirectory directory("events");
  RecordWriter writer(directory / "run.h5");
  CHECK_THROWS_WITH(writer.step({}), Contains("before begin()"));
  CHECK_FALSE(std::filesystem::exists(directory / "run.h5"));
  writer.begin(test::sample_info());
  CHECK_THROWS_WITH(writer.score({4, 1, "accuracy", true, 0}), Contains("task 1 after 4 tasks") && Contains("3 tasks"));
  CHECK_THROWS_WITH(writer.score({0, 0, "accuracy", true, 0}), Contains("task 0"));
  CHECK_THROWS_WITH(writer.array({"x", {2, 2}, {1}}), Contains("'x' has 1 values") && Contains("asks for 4"));
  CHECK_THROWS_WITH(RecordWriter(directory / "run.h5"), Contains("is there already"));
}

TEST_CASE("a directory that is not there is named", "[record]") {
  TemporaryDirectory directory("unwritable");
  RecordWriter writer(directory / "none/run.h5");
  CHECK_THROWS_AS(writer.begin(test::sample_info()), RecordError);
  CHECK_THROWS_WITH(writer.begin(test::sample_info()), Contains("none/run.h5"));
}

TEST_CASE("a full disk leaves the last checkpoint and nothing half", "[record]") {
  TemporaryDirectory directory("full");
  RecordWriter writer(directory / "run.h5");
  writer.begin(test::sample_info());
  const auto size = std::filesystem::file_size(directory / "run.h5");
  for (std::int64_t unit = 0; unit < SampleRun::kUnits; ++unit) SampleRun::emit(writer, unit);

  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{size, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  try {
    writer.end(RunStatus::kDone, "");
  } catch (const RecordError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);

  CHECK_THAT(message, Contains("run.h5") && Contains("File too large"));
  CHECK(Record(directory / "run.h5").status() == RunStatus::kRunning);
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("records are found below a directory, sorted, but not among checkpoints", "[record]") {
  TemporaryDirectory directory("find");
  for (const char* run : {"b", "a", "c/deep", "a/checkpoints"}) {
    std::filesystem::create_directories(directory / run);
    std::ofstream(directory / run / "run.h5") << "x";
  }
  const auto found = find_records(directory.path());
  CHECK(found == std::vector<std::filesystem::path>{directory / "a/run.h5", directory / "b/run.h5",
                                                    directory / "c/deep/run.h5"});
  CHECK(find_records(directory / "b/run.h5").size() == 1);
  CHECK_THROWS_WITH(find_records(directory / "none"), Contains("none") && Contains("no such directory"));
}

TEST_CASE("a config becomes flat texts", "[record]") {
  const auto flat =
      flat_config("seed: 3\nstrategy: {name: ewc, lambda: 1e-4}\nlist: [a, [1, 2]]\nnone: null\nempty: {}\n");
  CHECK(flat == std::map<std::string, std::string>{{"seed", "3"},
                                                   {"strategy.name", "ewc"},
                                                   {"strategy.lambda", "1e-4"},
                                                   {"list", "[a, [1, 2]]"},
                                                   {"none", "null"},
                                                   {"empty", "{}"}});
  CHECK_THROWS_AS(flat_config("- a\n- b\n"), ConfigError);
  CHECK_THROWS_AS(flat_config("a: [1, 2"), ConfigError);
}

TEST_CASE("a sample record for tests/parity/record_h5py.py", "[.sample]") {
  const char* path = std::getenv("MNEME_SAMPLE");
  REQUIRE(path != nullptr);
  write_sample(path);
}
