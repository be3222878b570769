#include "core/launch/options.h"

#include "core/base/error.h"
#include "core/launch/memory_watch.h"
#include "core/launch/settings.h"
#include "core/launch/slots.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;
using Json = nlohmann::json;

namespace {
Machine machine_of(int cores, std::vector<std::string> gpus = {}) {
  Machine machine;
  for (int i = 0; i < cores; ++i) machine.cores.push_back({i, i + cores});
  machine.gpus = std::move(gpus);
  machine.free_memory = std::int64_t{16} << 30;
  return machine;
}

std::pair<std::size_t, int> shape(const Json& section, int cores, std::size_t runs, std::string* warning = nullptr) {
  std::vector<std::string> warnings;
  const auto slots = make_slots(options_of(section), machine_of(cores), runs, warnings);
  if (warning != nullptr) *warning = warnings.empty() ? "" : warnings[0];
  return {slots.size(), slots[0].threads};
}
}  // namespace

TEST_CASE("the launcher section is read by type", "[options]") {
  const auto options = options_of({{"name", "slurm"},
                                   {"jobs", 4},
                                   {"memory", "1.5G"},
                                   {"time", "1:00:00"},
                                   {"setup", {"module load x"}},
                                   {"gpus", {2, 3}}});
  CHECK(options.name == "slurm");
  CHECK(options.jobs == 4);
  CHECK(options.memory == std::int64_t{1536} << 20);
  CHECK(options.slurm.time == "1:00:00");
  CHECK(options.slurm.setup == std::vector<std::string>{"module load x"});
  CHECK(options.gpus == std::vector<std::string>{"2", "3"});
  CHECK(options_of(nullptr).name == "local");
  CHECK(options_of({{"gpus", "all"}}).all_gpus);
}

TEST_CASE("wrong launcher settings are refused by name", "[options]") {
  const auto message = [](const Json& section) { return message_of([&] { options_of(section); }); };
  CHECK(message({{"job", 4}}) == "test.yaml: launcher.job: nothing reads this key; did you mean 'jobs'?");
  CHECK(message({{"jobs", 0}}) == "test.yaml: launcher.jobs: found 0; expected 1 or more");
  CHECK(contains(message({{"jobs", "x"}}), "test.yaml: launcher.jobs: expected"));
  CHECK(contains(message({{"name", "sclurm"}}),
                 "launcher.name: expected one of local, slurm, found 'sclurm'; did you mean 'slurm'?"));
  CHECK(message({{"memory", "8Q"}}) == "test.yaml: launcher.memory: found '8Q'; expected a size such as 8G or 512M");
  CHECK(contains(message({{"setup", "x"}}), "launcher.setup: expected a list"));
  CHECK(message({{"partition", "a\nb"}}) == "test.yaml: launcher.partition: expected a text of one line");
  CHECK(message({{"stop_seconds", 0}}) == "test.yaml: launcher.stop_seconds: found 0; expected a number above 0");
  CHECK(contains(message(Json::array()), "launcher: expected a map, found list"));
  CHECK(contains(message({{"gpus", -1}}), "found -1; expected a number of devices, a list of device ids, or all"));
}

TEST_CASE("the documented settings are those that are read", "[options]") {
  Json all;
  for (const auto& spec : launcher_params()) all[spec.key] = nullptr;
  for (const char* key : {"name", "pin", "setup", "sbatch", "warning_signal"}) all.erase(key);
  const auto options = options_of(all);
  CHECK(options.slurm.requeues == 3);
}

TEST_CASE("sizes are read and written", "[options]") {
  CHECK(parse_bytes("512") == 512);
  CHECK(parse_bytes("2KB") == 2048);
  CHECK(parse_bytes("1 GiB") == std::int64_t{1} << 30);
  CHECK(parse_bytes("1.5m") == 3 << 19);
  for (const char* wrong : {"-1G", "", "G", "8Q", "8 G B", "nan"}) CHECK_FALSE(parse_bytes(wrong));
  CHECK(format_bytes(std::int64_t{3} << 29) == "1.5 GiB");
  CHECK(format_bytes(5 << 20) == "5 MiB");
  CHECK(format_bytes(2048) == "2 KiB");
}

TEST_CASE("slots share the cores out", "[slots]") {
  using Shape = std::pair<std::size_t, int>;
  CHECK(shape({{"jobs", 4}}, 16, 100) == Shape{4, 4});
  CHECK(shape({{"threads", 2}}, 16, 100) == Shape{8, 2});
  CHECK(shape({}, 16, 100) == Shape{4, 4});
  CHECK(shape({}, 2, 100) == Shape{1, 2});
  CHECK(shape({{"jobs", 4}}, 16, 2) == Shape{2, 4});
  std::string warning;
  CHECK(shape({{"jobs", 8}}, 4, 100, &warning) == Shape{4, 1});
  CHECK(warning == "8 jobs asked for, 4 at a time started: 4 cores, 1 thread(s) per run");
  CHECK(shape({{"jobs", 4}, {"threads", 3}}, 8, 100, &warning) == Shape{2, 3});
  CHECK(shape({{"threads", 8}}, 4, 100, &warning) == Shape{1, 8});
  CHECK(warning == "8 threads per run on 4 cores: runs will be slow");
  CHECK(shape({{"jobs", 8}, {"memory", "6G"}}, 8, 100, &warning).first == 2);
  CHECK(warning == "8 jobs asked for, 2 at a time started: 16.0 GiB of memory free, 6.0 GiB per run");
}

TEST_CASE("GPUs are dealt out in turn", "[slots]") {
  std::vector<std::string> warnings;
  const auto slots =
      make_slots(options_of({{"gpus", 2}, {"runs_per_gpu", 2}}), machine_of(16, {"0", "1"}), 100, warnings);
  REQUIRE(slots.size() == 4);
  CHECK(slots[0].threads == 4);
  CHECK(slots[0].gpu == "0");
  CHECK(slots[1].gpu == "1");
  CHECK(slots[2].gpu == "0");
  const auto environment = slot_environment(slots[1]);
  CHECK(std::find(environment.begin(), environment.end(),
                  std::pair<std::string, std::string>{"CUDA_VISIBLE_DEVICES", "1"}) != environment.end());
  CHECK(message_of([&] {
          make_slots(options_of({{"gpus", 3}}), machine_of(16, {"0", "1"}), 1, warnings);
        }) == "launcher.gpus: 3 asked for, but this machine shows 2");
  CHECK(contains(message_of([&] {
                   make_slots(options_of({{"gpus", {7}}}), machine_of(16, {"0"}), 1, warnings);
                 }),
                 "device 7 asked for"));
}

TEST_CASE("two launchers do not pin runs to the same cores", "[slots]") {
  const TemporaryDirectory dir;
  ::setenv("XDG_RUNTIME_DIR", dir.path().c_str(), 1);
  const Machine machine = machine_of(4);
  const CoreReservation first(machine.cores, 3);
  CHECK(first.cores() == std::vector<std::size_t>{0, 1, 2});
  const CoreReservation second(machine.cores, 2);
  CHECK(second.cores().empty());
  const CoreReservation third(machine.cores, 1);
  CHECK(third.cores() == std::vector<std::size_t>{3});
  ::unsetenv("XDG_RUNTIME_DIR");
  std::vector<Slot> slots(3);
  Machine busy = machine;
  CHECK(may_pin({}, machine, slots));
  busy.load = 2.5;
  CHECK_FALSE(may_pin({}, busy, slots));
  CHECK_FALSE(may_pin(options_of({{"pin", false}}), machine, slots));
  CHECK_FALSE(may_pin({}, machine, {slots[0]}));
  pin_slots(slots, machine, first);
  CHECK(slots[2].cpus == std::vector<int>{2, 6});
  std::vector<Slot> unpinned(2);
  pin_slots(unpinned, machine, second);
  CHECK(unpinned[0].cpus.empty());
}

TEST_CASE("this machine has cores", "[slots]") {
  const Machine machine = detect_machine();
  CHECK_FALSE(machine.cores.empty());
  CHECK(machine.free_memory > 0);
}

TEST_CASE("the kernel's counter of out-of-memory kills is read", "[memory]") {
  const TemporaryDirectory dir;
  write_file_atomically(dir.path() / "memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
  const MemoryWatch watch({dir.path() / "memory.events"});
  CHECK(watch.kills() == 2);
  write_file_atomically(dir.path() / "memory.events", "oom_kill 5\n");
  CHECK(watch.kills() == 5);
  CHECK(MemoryWatch().kills() >= 0);
}

TEST_CASE("launcher settings, and only these, may change while a sweep goes on", "[settings]") {
  Settings settings;
  settings.launcher = options_of({{"name", "slurm"}, {"time", "1:00:00"}, {"gpus", {1, 2}}, {"memory", "1G"}});
  settings.launcher.stop_on_error = true;
  apply_override(settings, "launcher.time='2-00:00:00'");
  apply_override(settings, "++launcher.jobs=7");
  CHECK(settings.launcher.slurm.time == "2-00:00:00");
  CHECK(settings.launcher.jobs == 7);
  CHECK(settings.launcher.gpus.size() == 2);
  CHECK(settings.launcher.memory == std::int64_t{1} << 30);
  CHECK(settings.launcher.stop_on_error);
  CHECK(contains(message_of([&] { apply_override(settings, "seed=2"); }),
                 "seed=2: the config of a sweep that has begun"));
  CHECK(contains(message_of([&] { apply_override(settings, "launcher.jobs=1,2"); }), "only launcher.KEY=VALUE may"));
  CHECK(contains(message_of([&] { apply_override(settings, "launcher.job=1"); }),
                 "launcher.job: nothing reads this key"));
}

TEST_CASE("settings survive writing and reading", "[settings]") {
  Settings settings;
  settings.experiment = "table1";
  settings.file = "a b.yaml";
  settings.working_directory = "/tmp";
  settings.plugin_paths = {"/p/q"};
  settings.launcher = options_of({{"jobs", 3}, {"time", "5"}, {"memory", "1G"}, {"gpus", {"GPU-x"}}});
  settings.launcher.stop_on_error = true;
  const Settings back = read_settings(to_json(settings), "settings.json");
  CHECK(to_json(back) == to_json(settings));
  CHECK(back.launcher.gpus == settings.launcher.gpus);
  CHECK(contains(message_of([] { read_settings("{}", "d/settings.json"); }),
                 "d/settings.json: is not what mneme writes"));
}
