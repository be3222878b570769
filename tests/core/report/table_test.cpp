#include "core/report/table.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/record/h5/h5.h"
#include "core/record/seal.h"
#include "core/report/format.h"
#include "core/report/keys.h"
#include "tests/core/report/sample_sweep.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::report;
using Catch::Contains;
using test::SampleResult;
using test::TemporaryDirectory;
using Keys = std::vector<std::string>;

namespace {
Table table_of(const TemporaryDirectory& directory, const TableOptions& options = {}) {
  return make_table(load_results({directory.path()}), options);
}

const TableRow& row_of(const Table& table, const Keys& keys) {
  for (const TableRow& row : table.rows)
    if (row.keys == keys) return row;
  throw Error(fmt::format("the table has no row {}", keys));
}

std::string notes_of(const Table& table) { return fmt::format("{}", fmt::join(note_lines(table), "\n")); }
}  // namespace

TEST_CASE("a table holds means and sample deviations over seeds", "[table]") {
  TemporaryDirectory directory("table");
  test::write_sweep(directory / "sweep");
  const Table table = table_of(directory);
  CHECK(table.row_keys == Keys{"strategy"});
  REQUIRE(table.columns.size() == 4);
  // seq: R[3] = (l - 0.4, l - 0.2, l) with l = 0.80, 0.82, 0.84, so that aa.last = l - 0.2 and bwt.gem = -(0.4 + 0.2)
  // / 2.
  const TableRow& seq = row_of(table, {"seq"});
  CHECK(seq.n == std::vector<std::int64_t>{3});
  CHECK(seq.cells[0].mean == Approx(0.62));
  CHECK(seq.cells[0].std == Approx(0.02));
  CHECK(seq.cells[1].mean == Approx(-0.3));
  CHECK(seq.cells[1].std == Approx(0).margin(1e-12));
  CHECK(seq.cells[2].mean == Approx(0.3));
  CHECK(seq.cells[3].mean == Approx(0.82));
  CHECK(seq.cells[3].best);
  CHECK_FALSE(seq.cells[0].best);
  const TableRow& o_lora = row_of(table, {"o_lora"});
  CHECK(o_lora.cells[0].best);
  CHECK(o_lora.cells[2].best);  // the least forgetting
  CHECK(o_lora.cells[0].n == 1);
  CHECK(std::isnan(o_lora.cells[0].std));
}

TEST_CASE("nothing is left out of a table silently", "[table]") {
  TemporaryDirectory directory("notes");
  test::write_sweep(directory / "sweep");
  test::write_result(directory / "sweep", {.strategy = "gem", .seed = 1, .status = RunStatus::kDiverged});
  write_file_atomically(directory / "sweep/47cb33f85a30/run.h5", "damaged");
  const Table table = table_of(directory);
  const std::string notes = notes_of(table);
  CHECK_THAT(notes, Contains("47cb33f85a30/run.h5: is no run record") && Contains("a record cannot be read"));
  CHECK_THAT(notes, Contains("ewc: seed 3 failed, not counted: out of memory: 3 GiB asked") && !Contains("more"));
  CHECK_THAT(notes, Contains("o_lora: seed 2 is at task 2 of 3 or was killed, not counted"));
  CHECK_THAT(notes, Contains("gem; seq") || Contains("gem: seed 1 diverged, not counted"));
  CHECK_THAT(notes, Contains("gem: seeds 2, 3 missing"));
  CHECK_THAT(notes, Contains("1 of the 9 runs of sweep has no record: aaaaaaaaaaaa (strategy=o_lora seed=3)"));
  const TableRow& gem = row_of(table, {"gem"});
  CHECK(gem.n == std::vector<std::int64_t>{0});
  CHECK(std::isnan(gem.cells[0].mean));
}

TEST_CASE("damaged records are noted, each with its damage, and the others counted", "[table]") {
  TemporaryDirectory directory("damaged");
  const auto file_of = [&](const test::SampleResult& sample) {
    return directory / "sweep" / test::write_result(directory / "sweep", sample) / "run.h5";
  };
  test::write_result(directory / "sweep", {.strategy = "seq", .seed = 1});
  const auto cut = file_of({.strategy = "cut"}), garbled = file_of({.strategy = "garbled"});
  write_file_atomically(cut, read_file(cut).substr(0, 5000));
  std::string bytes = read_file(garbled);
  bytes.replace(3000, 40, 40, '\xff');
  write_file_atomically(garbled, bytes);
  const Table table = table_of(directory);
  CHECK_THAT(notes_of(table), Contains(cut.string() + ": the record is cut or damaged: its 5000 bytes"));
  CHECK_THAT(notes_of(table), Contains(garbled.string() + ": the record is cut or damaged"));
  CHECK(table.rows.size() == 1);

  // Matrices of another number of tasks than the stream has.
  const auto strange = file_of({.strategy = "strange"});
  record::h5::File file = record::h5::File::from_image(strange, record::read_sealed(strange));
  file.write_array("/eval/scores", {3, 2}, std::vector<double>(6, 0.5));
  record::write_sealed(strange, file.image());
  CHECK_THAT(notes_of(table_of(directory)), Contains("has shape [3, 2]; expected [4, 3]"));
}

TEST_CASE("row keys are the strategy and the fewest others that vary", "[table]") {
  TemporaryDirectory directory("keys");
  const std::string stream_a = "stream: {name: a, rows: 10}\ndata: {seed: 1}\nlauncher: {jobs: 1}\n";
  const std::string stream_b = "stream: {name: b, rows: 20}\ndata: {seed: 1}\nlauncher: {jobs: 2}\n";
  test::write_result(directory.path(), {.strategy = "seq", .seed = 1, .more = stream_a});
  test::write_result(directory.path(), {.strategy = "seq", .seed = 1, .more = stream_b});
  test::write_result(directory.path(), {.strategy = "ewc", .seed = 1, .more = "  lambda: 0.5\n" + stream_a});
  test::write_result(directory.path(), {.strategy = "ewc", .seed = 1, .more = "  lambda: 10\n" + stream_b});
  SECTION("a key that follows from the others does not appear") {
    CHECK(table_of(directory).row_keys == Keys{"strategy", "stream"});
    CHECK(table_of(directory, {.cols = {"stream"}}).row_keys == Keys{"strategy"});
  }
  SECTION("one that varies on its own does, and numbers are sorted as numbers") {
    test::write_result(directory.path(), {.strategy = "ewc", .seed = 1, .more = "  lambda: 9\n" + stream_a});
    const Table table = table_of(directory);
    CHECK(table.row_keys == Keys{"strategy", "stream", "strategy.lambda"});
    std::vector<Keys> rows;
    for (const TableRow& row : table.rows) rows.push_back(row.keys);
    CHECK(rows == std::vector<Keys>{
                      {"ewc", "a", "0.5"}, {"ewc", "a", "9"}, {"ewc", "b", "10"}, {"seq", "a", ""}, {"seq", "b", ""}});
    CHECK_THAT(notes_of(table_of(directory, {.rows = {"strategy", "stream"}})),
               Contains("ewc, a: mean over 2 values of strategy.lambda, not over seeds alone"));
  }
  SECTION("a copy of the seed is no key") {
    for (const int seed : {1, 2})
      test::write_result(directory.path(),
                         {.strategy = "gem", .seed = seed, .more = fmt::format("copy: {}\n{}", seed, stream_a)});
    const auto results = load_results({directory.path()});
    std::vector<const Result*> gem;
    for (const Result& run : results.runs)
      if (run.value("strategy") == "gem") gem.push_back(&run);
    CHECK(distinguishing_keys(gem, {"strategy"}).empty());
  }
}

TEST_CASE("column keys make columns, compared across strategies", "[table]") {
  TemporaryDirectory directory("cols");
  for (const char* stream : {"a", "b"})
    for (const char* strategy : {"ewc", "seq"})
      test::write_result(directory.path(), {.strategy = strategy,
                                            .learnt = *stream == 'a' && *strategy == 's' ? 0.9 : 0.7,
                                            .more = fmt::format("stream: {{name: {}}}\n", stream)});
  const auto json = nlohmann::json::parse(
      format_json(table_of(directory, {.cols = {"stream"}, .metrics = {"plasticity", "aa.last"}})));
  REQUIRE(json.size() == 2);
  CHECK(json[1]["strategy"] == "seq");
  CHECK(json[1]["plasticity[a]"].get<double>() == Approx(0.9));
  CHECK(json[1]["plasticity[a].std"].is_null());
  CHECK(json[0]["plasticity[b]"].get<double>() == Approx(0.7));
  CHECK(json[0]["n[b]"] == 1);

  const Table pivot = table_of(directory, {.rows = {"stream"}, .cols = {"strategy"}, .metrics = {"plasticity"}});
  CHECK(pivot.rows[0].cells[1].best);  // stream a: seq
  CHECK_FALSE(pivot.rows[0].cells[0].best);
  CHECK(pivot.rows[1].cells[0].best);  // stream b: a tie
  CHECK(pivot.rows[1].cells[1].best);
  CHECK_THAT(notes_of(table_of(directory, {.rows = {"stream"}, .cols = {"seed", "strategy"}})), !Contains("missing"));
}

TEST_CASE("tasks, costs and further metrics are columns", "[table]") {
  TemporaryDirectory directory("metrics");
  test::write_result(directory.path(), {.strategy = "seq", .learnt = 0.8, .lost = 0.1});
  const Table table =
      table_of(directory, {.metrics = {"tasks", "train_seconds", "peak_bytes", "state_bytes", "task.sums@rouge_l"}});
  std::vector<std::string> ids;
  std::vector<double> means;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    ids.push_back(table.columns[c].measure.id);
    means.push_back(table.rows[0].cells[c].mean);
  }
  CHECK(ids == Keys{"task.news", "task.sums", "task.law", "aa.last", "train_seconds", "peak_bytes", "state_bytes",
                    "task.sums@rouge_l"});
  const std::vector<double> expected{0.6, 0.7, 0.8, 0.7, 91.5, 103.0 * 1048576, 3072, 0.35};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(means[i] == Approx(expected[i]));
}

TEST_CASE("S comes from the single-task runs, of the same seed where there are such", "[table]") {
  TemporaryDirectory directory("single");
  test::write_result(directory.path(), {.strategy = "seq", .seed = 1, .learnt = 0.7});
  test::write_result(directory.path(), {.strategy = "seq", .seed = 2, .learnt = 0.7});
  test::write_result(directory.path(), {.strategy = "seq", .seed = 9, .learnt = 0.7});
  const TableOptions options{.metrics = {"intransigence"}, .single = "strategy=one"};
  const Table without = table_of(directory, options);
  CHECK(std::isnan(without.rows[0].cells[0].mean));
  CHECK_THAT(notes_of(without), Contains("intransigence needs the single-task scores S: runs of strategy=one"));

  test::write_result(directory.path(), {.strategy = "one", .seed = 1, .learnt = 0.8});
  test::write_result(directory.path(), {.strategy = "one", .seed = 2, .learnt = 1.0});
  // S - R: 0.1 for seed 1, 0.3 for seed 2, and 0.9 - 0.7 for seed 9, which takes the mean S.
  const Table with = table_of(directory, options);
  CHECK(row_of(with, {"seq"}).cells[0].mean == Approx(0.2));
  CHECK(row_of(with, {"seq"}).cells[0].std == Approx(0.1));
  CHECK(row_of(with, {"one"}).cells[0].mean == Approx(0).margin(1e-12));

  // Other tasks give no S.
  TemporaryDirectory others("single-others");
  test::write_result(others.path(), {.strategy = "seq"});
  test::write_result(others.path(), {.strategy = "one", .tasks = {"x", "y"}});
  CHECK(std::isnan(row_of(table_of(others, options), {"seq"}).cells[0].mean));
}

TEST_CASE("a table does not depend on the order of directories, nor on naming one twice", "[table]") {
  TemporaryDirectory directory("order");
  std::vector<std::filesystem::path> sweeps;
  RandomStream random(1, "sweeps");
  for (int i = 0; i < 12; ++i) {
    sweeps.push_back(directory / fmt::format("sweep{}", i % 4));
    test::write_result(sweeps.back(), {.strategy = i % 3 == 0 ? "seq" : "ewc",
                                       .seed = i,
                                       .learnt = random.uniform(),
                                       .lost = 0.1 * random.uniform()});
  }
  const std::string expected = format_json(make_table(load_results({directory.path()}), {}));
  for (int round = 0; round < 5; ++round) {
    random.shuffle(sweeps);
    CHECK(format_json(make_table(load_results(sweeps), {})) == expected);
  }
}

TEST_CASE("of two records of one config the finished one counts, and it is said", "[table]") {
  TemporaryDirectory directory("repeated");
  test::write_result(directory / "a", {.strategy = "seq", .seed = 1, .status = RunStatus::kFailed});
  test::write_result(directory / "b", {.strategy = "seq", .seed = 1, .learnt = 0.5});
  const Table table = table_of(directory, {.metrics = {"plasticity"}});
  CHECK(table.rows[0].n[0] == 1);
  CHECK(table.rows[0].cells[0].mean == Approx(0.5));
  CHECK_THAT(notes_of(table), Contains("1 record is of a config that another record holds too") && !Contains("failed"));
}

TEST_CASE("what a table cannot show is named with the nearest that it can", "[table]") {
  TemporaryDirectory directory("unknown");
  test::write_sweep(directory / "sweep");
  CHECK_THROWS_AS(table_of(directory, {.rows = {"stratgy"}}), UsageError);
  CHECK_THROWS_WITH(table_of(directory, {.rows = {"stratgy"}}), Contains("'stratgy'; did you mean 'strategy'?"));
  CHECK_THROWS_WITH(table_of(directory, {.cols = {"x"}}),
                    Contains("no run has the key 'x'; known: run_id, seed, strategy"));
  CHECK_THROWS_WITH(table_of(directory, {.metrics = {"aa.lst"}}), Contains("'aa.lst'; did you mean 'aa.last'?"));
  CHECK_THROWS_WITH(table_of(directory, {.metrics = {"task.new"}}), Contains("did you mean 'task.news'?"));
  CHECK_THROWS_WITH(table_of(directory, {.metrics = {"aa.last@rouge"}}),
                    Contains("no run was scored by 'rouge'; did you mean 'rouge_l'?"));
  CHECK_THROWS_WITH(table_of(directory, {.single = "one"}), Contains("'one': expected KEY=VALUE"));
  TemporaryDirectory empty("empty");
  CHECK_THROWS_AS(load_results({empty.path()}), RecordError);
  CHECK_THROWS_WITH(load_results({empty.path()}), Contains("no readable run.h5") && Contains("mneme run"));
}
