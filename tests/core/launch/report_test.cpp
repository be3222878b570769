#include "core/launch/sweep_report.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

TEST_CASE("the status of a sweep is one JSON object", "[report]") {
  const TemporaryDirectory dir;
  auto sweep =
      SweepDirectory::create(dir.path() / "out", fake_sweep({{{"steps", 2}}, {{"behave", "exit"}}, {{"steps", 1}}}));
  launch_fake(sweep, {sweep.runs()[0], sweep.runs()[1]}, quick_options(2));
  Attempt dead;
  dead.process = this_process();
  --dead.process.start_ticks;
  dead.started = "2026-01-01T00:00:00Z";
  write_attempt(sweep.run_path(sweep.runs()[2]), dead);
  write_file_atomically(
      sweep.run_path(sweep.runs()[2]) / "progress.json",
      R"({"phase": "eval", "task": 2, "tasks": 4, "done": 1, "total": 2, "eta_seconds": 3, "note": "n"})");
  const auto json = nlohmann::json::parse(status_json(inspect_sweep(sweep)));
  CHECK(json["directory"] == (dir.path() / "out").string());
  CHECK(json["total"] == 3);
  CHECK(json["counts"]["done"] == 1);
  CHECK(json["counts"]["interrupted"] == 1);
  CHECK(json["launcher"]["pid"] == ::getpid());
  const auto& runs = json["runs"];
  CHECK(runs[0]["id"] == "000000000001");
  CHECK(runs[0]["overrides"] == nlohmann::json{"seed=1"});
  CHECK(runs[0]["status"] == "done");
  CHECK(runs[0]["exit_code"] == 0);
  CHECK(runs[1]["status"] == "failed");
  CHECK(runs[1]["exit_code"] == 7);
  CHECK(runs[2]["status"] == "interrupted");
  CHECK(runs[2]["progress"].get<double>() == Approx(0.5));
  CHECK(runs[2]["eta_seconds"].is_null());
}

TEST_CASE("a run is called by what sets it apart", "[report]") {
  const TemporaryDirectory dir;
  SweepFiles files = fake_sweep({{{"steps", 1}}, {{"steps", 1}}});
  for (auto& run : files.runs) run.overrides.insert(run.overrides.begin(), "model=nano");
  auto sweep = SweepDirectory::create(dir.path() / "out", files);
  CHECK(sweep.runs()[1].label() == "seed=2");
  const auto single = SweepDirectory::create(dir.path() / "one", fake_sweep({{{"steps", 1}}}));
  CHECK(single.runs()[0].label() == "seed=1");
}

TEST_CASE("the summary lists failures with their reason and last lines, and how to go on", "[report]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "a b";
  auto sweep = SweepDirectory::create(home, fake_sweep({{{"steps", 1}}, {{"behave", "throw"}}}));
  launch_fake(sweep, sweep.runs(), quick_options(1));
  const TextFile out;
  print_summary(out.get(), reconcile(sweep), 61);
  const std::string text = out.text();
  CHECK(contains(text, "1 of 2 run(s) done, 1 failed in 1:01\n"));
  CHECK(contains(text, "failed 000000000002  seed=2\n  exit code 1: the fake was told to throw\n"));
  CHECK(contains(text, "    mneme-run: the fake was told to throw\n"));
  CHECK(contains(text, "go on with: mneme resume '" + home.string() + "'\n"));
  const TextFile table;
  print_status(table.get(), inspect_sweep(sweep));
  CHECK(contains(table.text(), "000000000002  failed"));
}

TEST_CASE("a launcher killed in the middle leaves an interrupted sweep", "[report]") {
  const TemporaryDirectory dir;
  fs::path home = dir.path() / "out";
  { const auto sweep = SweepDirectory::create(home, fake_sweep({{{"steps", 1}}})); }
  const auto report = inspect_sweep(SweepDirectory::open(home));
  CHECK(report.state() == "interrupted");
  CHECK_FALSE(report.launcher);
  const TextFile out;
  print_status(out.get(), report);
  CHECK(contains(out.text(), "go on with: mneme resume " + home.string() + "\n"));
}

TEST_CASE("the time left follows from the runs", "[view]") {
  SweepMoment moment;
  moment.slots = 2;
  CHECK(sweep_eta(moment) == 0);
  moment.active = {{"a", "", 10, {}}, {"b", "", 10, {}}};
  CHECK(sweep_eta(moment) < 0);
  moment.active[0].progress.eta_seconds = 30;
  moment.active[1].progress.eta_seconds = 10;
  CHECK(sweep_eta(moment) == Approx(30));
  moment.waiting = 4;  // each takes as long as the active ones will on average: (40 + 20) / 2
  CHECK(sweep_eta(moment) == Approx((30 + 10 + 4 * 30) / 2.0));
  moment.mean_seconds = 100;
  CHECK(sweep_eta(moment) == Approx((30 + 10 + 4 * 100) / 2.0));
}

TEST_CASE("lines fit the terminal", "[view]") {
  CHECK(fit("abcdef", 6) == "abcdef");
  CHECK(fit("abcdefg", 6) == "abcde…");
  CHECK(fit("äöüäöü", 6) == "äöüäöü");
  CHECK(fit("äöüäöüx", 6) == "äöüäö…");
}

TEST_CASE("a terminal shows one line per active run, redrawn in place", "[view]") {
  const TextFile out;
  {
    SweepView view(out.get(), true);
    SweepMoment moment;
    moment.total = 3;
    moment.done = 1;
    moment.waiting = 1;
    moment.active = {{"0123456789ab", "strategy=ewc", 65, {"train", 2, 8, 3, 9, 10, 40, 30, "loss 0.5"}}};
    view.tick(moment);
  }
  const std::string text = out.text();
  CHECK(contains(text, "  0123456789ab  task 2/8 train     25 %  1:05, ETA 30 s  strategy=ewc  step 3/9, loss 0.5\n"));
  CHECK(contains(text, "1 of 3 done, 1 running, 1 waiting"));
  CHECK(contains(text, "\033[2A\r\033[J"));
}
