#include "core/launch/process.h"

#include <sched.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

namespace {
Captured shell(const std::string& script, ChildOptions options = {}) {
  options.arguments = {"/bin/sh", "-c", script};
  return run_and_capture(options);
}

ProcessExit wait_for(Child& child) {
  for (;;) {
    if (const auto exit = child.poll()) return *exit;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}
}  // namespace

TEST_CASE("a child's output, exit code and signal come back", "[process]") {
  const Captured captured = shell("echo out; echo err >&2; exit 5");
  CHECK(captured.output == "out\n");
  CHECK(captured.error == "err\n");
  CHECK(captured.exit.code == 5);
  CHECK_FALSE(captured.ok());
  CHECK(shell("kill -SEGV $$").exit.signal == SIGSEGV);
  CHECK(shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2").output.size() == 3000000);
}

TEST_CASE("a child gets its directory, environment, group and no input", "[process]") {
  const TemporaryDirectory dir;
  ChildOptions options;
  options.directory = dir.path();
  options.environment = {{"MNEME_TEST_VALUE", "x y"}};
  CHECK(shell("pwd", options).output == dir.path().string() + "\n");
  CHECK(shell("echo \"$MNEME_TEST_VALUE\"", options).output == "x y\n");
  CHECK(shell("cat", options).output.empty());
  CHECK(shell("test $(ps -o pgid= $$) = $$ && echo own", options).output == "own\n");
}

TEST_CASE("a child is pinned to its processors", "[process]") {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  REQUIRE(::sched_getaffinity(0, sizeof mask, &mask) == 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask)) last = cpu;
  }
  ChildOptions options;
  options.cpus = {last};
  CHECK(shell("grep Cpus_allowed_list /proc/self/status | cut -f2", options).output == std::to_string(last) + "\n");
}

TEST_CASE("a program that cannot be started is named with the reason", "[process]") {
  ChildOptions options;
  options.arguments = {"/no/such/program"};
  CHECK(contains(message_of([&] { run_and_capture(options); }), "/no/such/program: cannot be started: No such file"));
  options.arguments = {"/bin/true"};
  options.directory = "/no/such/directory";
  CHECK(contains(message_of([&] { Child child(options); }), "cannot be started"));
}

TEST_CASE("a child dies with the process that started it", "[process]") {
  const TemporaryDirectory dir;
  const auto pid_file = dir.path() / "pid";
  const int middle = ::fork();
  REQUIRE(middle >= 0);
  if (middle == 0) {
    ChildOptions options;
    options.arguments = {"/bin/sh", "-c", "exec sleep 100"};
    Child child(options);
    write_file_atomically(pid_file, std::to_string(child.pid()));
    ::pause();
  }
  while (!fs::exists(pid_file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const ProcessIdentity child = identify(std::stoi(read_file(pid_file)));
  CHECK(liveness(child) == Liveness::kAlive);
  ::kill(middle, SIGKILL);
  ::waitpid(middle, nullptr, 0);
  for (int i = 0; i < 400 && liveness(child) == Liveness::kAlive; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(liveness(child) == Liveness::kDead);
}

TEST_CASE("a process is known by its start as well as by its number", "[process]") {
  ProcessIdentity self = this_process();
  CHECK(self.pid == ::getpid());
  CHECK(liveness(self) == Liveness::kAlive);
  ++self.start_ticks;
  CHECK(liveness(self) == Liveness::kDead);
  self = this_process();
  self.place = "elsewhere";
  self.host = "another machine";
  CHECK(liveness(self) == Liveness::kUnknown);
  CHECK(liveness({}) == Liveness::kDead);
}

TEST_CASE("a signal reaches the whole group of a child", "[process]") {
  const TemporaryDirectory dir;
  ChildOptions options;
  options.arguments = {"/bin/sh", "-c", "sleep 100 & echo $! >grandchild; wait"};
  options.directory = dir.path();
  Child child(options);
  while (count_lines(dir.path() / "grandchild") == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const ProcessIdentity grandchild = identify(std::stoi(read_file(dir.path() / "grandchild")));
  REQUIRE(grandchild.pid != 0);
  child.signal(SIGTERM);
  CHECK(wait_for(child).signal == SIGTERM);
  for (int i = 0; i < 400 && liveness(grandchild) == Liveness::kAlive; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(liveness(grandchild) == Liveness::kDead);
}

TEST_CASE("signals have names", "[process]") {
  CHECK(signal_name(SIGABRT) == "SIGABRT");
  CHECK(signal_name(SIGKILL) == "SIGKILL");
}
