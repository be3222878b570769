#include <sys/wait.h>

#include <csignal>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/launch/half_written.h"
#include "core/launch/sweep_directory.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

TEST_CASE("a sweep's directory holds what the contract says", "[directory]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "a" / "sweep";
  const auto sweep = SweepDirectory::create(home, fake_sweep({{{"steps", 1}}, {{"steps", 2}}}));
  CHECK(read_file(home / "sweep.yaml") == "runs: 2\n");
  const auto runs = nlohmann::json::parse(read_file(home / "runs.json"));
  REQUIRE(runs.size() == 2);
  CHECK(runs[1]["id"] == "000000000002");
  CHECK(runs[1]["overrides"] == nlohmann::json{"seed=2"});
  CHECK(runs[1]["status"] == "pending");
  CHECK(read_file(home / "000000000002" / ".hydra" / "config.yaml") == "seed: 1\n");
  CHECK(std::distance(fs::directory_iterator(dir.path() / "a"), fs::directory_iterator()) == 1);
}

TEST_CASE("an existing directory is used only if it is empty", "[directory]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "out";
  fs::create_directory(home);
  { const auto sweep = SweepDirectory::create(home, fake_sweep({{{"steps", 1}}})); }
  CHECK(contains(message_of([&] {
                   SweepDirectory::create(home, fake_sweep({{{"steps", 1}}}));
                 }),
                 "holds a sweep already; go on with it by 'mneme resume"));
  write_file_atomically(dir.path() / "file", "x");
  CHECK(contains(message_of([&] {
                   SweepDirectory::create(dir.path() / "file", fake_sweep({{{"steps", 1}}}));
                 }),
                 "is not an empty directory"));
  CHECK(contains(message_of([&] {
                   SweepDirectory::create(dir.path(), fake_sweep({{{"steps", 1}}}));
                 }),
                 "is not an empty directory"));
}

TEST_CASE("a current directory and a place without permission are filled or refused, never half", "[directory]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "here";
  fs::create_directory(home);
  const auto before = fs::current_path();
  fs::current_path(home);
  { const auto sweep = SweepDirectory::create(".", fake_sweep({{{"steps", 1}}})); }
  CHECK(fs::exists("runs.json"));
  fs::current_path(before);
  CHECK(fs::exists(home / "runs.json"));
  write_file_atomically(dir.path() / "file", "x");
  CHECK(contains(message_of([&] {
                   SweepDirectory::create(dir.path() / "file" / "x", fake_sweep({{{"steps", 1}}}));
                 }),
                 "cannot be created"));
}

TEST_CASE("a sweep without runs and one with twins are refused before anything is created", "[directory]") {
  const TemporaryDirectory dir;
  CHECK(contains(message_of([&] { SweepDirectory::create(dir.path() / "a", fake_sweep({})); }), "no runs"));
  auto twins = fake_sweep({{{"steps", 1}}, {{"steps", 2}}});
  twins.runs[1].id = twins.runs[0].id;
  CHECK(contains(message_of([&] { SweepDirectory::create(dir.path() / "a", twins); }), "the same (id 000000000001)"));
  CHECK_FALSE(fs::exists(dir.path() / "a"));
}

TEST_CASE("sweeps that start in the same second get directories of their own", "[directory]") {
  const TemporaryDirectory dir;
  constexpr int kLaunchers = 12;
  for (int i = 0; i < kLaunchers; ++i) {
    const int pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      try {
        SweepDirectory::create_dated(dir.path() / "exp", fake_sweep({{{"steps", 1}}, {{"steps", 1}}}));
        ::_exit(0);
      } catch (...) {
        ::_exit(1);
      }
    }
  }
  int status = 0;
  for (int i = 0; i < kLaunchers; ++i) {
    ::wait(&status);
    CHECK(status == 0);
  }
  int complete = 0;
  for (const auto& entry : fs::directory_iterator(dir.path() / "exp")) {
    CHECK(SweepDirectory::open(entry.path()).runs().size() == 2);
    ++complete;
  }
  CHECK(complete == kLaunchers);
}

TEST_CASE("of several launchers with the same --out one wins", "[directory]") {
  const TemporaryDirectory dir;
  constexpr int kLaunchers = 8;
  for (int i = 0; i < kLaunchers; ++i) {
    if (::fork() == 0) {
      try {
        SweepDirectory::create(dir.path() / "out", fake_sweep({{{"steps", 1}}}));
        ::_exit(0);
      } catch (const Error&) {
        ::_exit(1);
      }
    }
  }
  int winners = 0, status = 0;
  for (int i = 0; i < kLaunchers; ++i) {
    ::wait(&status);
    winners += status == 0;
  }
  CHECK(winners == 1);
  CHECK(SweepDirectory::open(dir.path() / "out").runs().size() == 1);
  CHECK(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("a live sweep is locked, a dead one is not", "[directory]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "out";
  const int pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const auto sweep = SweepDirectory::create(home, fake_sweep({{{"steps", 1}}}));
    ::pause();
  }
  while (!fs::exists(home / "runs.json")) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const auto holder = lock_holder(home / ".mneme" / "lock");
  REQUIRE(holder);
  CHECK(holder->pid == pid);
  CHECK(contains(message_of([&] { SweepDirectory::open_locked(home); }), fmt::format("({} on ", pid)));
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  CHECK_FALSE(lock_holder(home / ".mneme" / "lock"));
  const auto sweep = SweepDirectory::open_locked(home);
  CHECK(lock_holder(home / ".mneme" / "lock")->pid == ::getpid());
}

TEST_CASE("a directory that is no sweep is refused with the sweep below it", "[directory]") {
  const TemporaryDirectory dir;
  CHECK(contains(message_of([&] { SweepDirectory::open(dir.path() / "none"); }), "does not exist"));
  CHECK(contains(message_of([&] { SweepDirectory::open(dir.path()); }), "it has no runs.json"));
  { const auto sweep = SweepDirectory::create(dir.path() / "exp" / "one", fake_sweep({{{"steps", 1}}})); }
  CHECK(contains(message_of([&] { SweepDirectory::open(dir.path()); }),
                 "the latest sweep below it is " + (dir.path() / "exp" / "one").string()));
  write_file_atomically(dir.path() / "exp" / "one" / "runs.json", "[{]");
  CHECK(contains(message_of([&] { SweepDirectory::open(dir.path() / "exp" / "one"); }), "is not the list of runs"));
}

TEST_CASE("extending adds what is missing and keeps what is there", "[directory]") {
  const TemporaryDirectory dir;
  auto sweep = SweepDirectory::create(dir.path() / "out", fake_sweep({{{"steps", 1}}, {{"steps", 1}}}));
  RunEntry done = sweep.runs()[1];
  done.state = RunState::kDone;
  sweep.update(done);
  CHECK(sweep.extend(fake_sweep({{{"steps", 1}}, {{"steps", 1}}, {{"steps", 1}}}, 2)) == 2);
  REQUIRE(sweep.runs().size() == 4);
  CHECK(sweep.runs()[1].state == RunState::kDone);
  CHECK(sweep.runs()[3].id == "000000000004");
  CHECK(fs::exists(dir.path() / "out" / "000000000004" / ".hydra" / "resolved.json"));
  CHECK(read_file(dir.path() / "out" / "sweep.yaml") == "runs: 3\n");
  CHECK(read_file(dir.path() / "out" / ".mneme" / "sweep-1.yaml") == "runs: 2\n");
}

TEST_CASE("what a killed process left half-written goes when the sweep is taken up again", "[directory]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "out";
  { auto sweep = SweepDirectory::create(home, fake_sweep({{{"steps", 1}}})); }
  const auto run = home / "000000000001";
  for (const auto& file : {home / "runs.json.123.456.tmp", run / "run.h5.9.9.tmp", run / "checkpoints/state.7.8.tmp"}) {
    fs::create_directories(file.parent_path());
    write_file_atomically(file, "half");
  }
  write_file_atomically(run / "my.tmp", "a user's own");
  CHECK(half_written(home, true).size() == 3);
  auto sweep = SweepDirectory::open_locked(home);
  CHECK(half_written(home, false).empty());
  launch_fake(sweep, sweep.runs(), quick_options(1));
  CHECK(half_written(home, true).empty());
  CHECK(fs::exists(run / "my.tmp"));
}
