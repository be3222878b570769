// The commands run, plan, status and resume as programs, with the fake runner in place of mneme-run.
#include <signal.h>

#include <thread>

#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;
using Json = nlohmann::json;

namespace {

/// A place with an experiment file, and the program.
class Place {
 public:
  explicit Place(const std::string& experiment = kExperiment) { write("exp.yaml", experiment); }

  ChildOptions command(std::vector<std::string> arguments) const {
    ChildOptions options;
    options.arguments = std::move(arguments);
    options.arguments.insert(options.arguments.begin(), (fs::path(MNEME_BINARY_DIR) / "bin" / "mneme").string());
    options.directory = path();
    options.environment = {{"MNEME_RUNNER", fake_runner().program.string()}, {"MNEME_CACHE", (cache_.path()).string()}};
    return options;
  }
  Captured mneme(std::vector<std::string> arguments) const { return run_and_capture(command(std::move(arguments))); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((path() / name).parent_path());
    write_file_atomically(path() / name, text);
  }
  const fs::path& path() const { return dir_.path(); }
  Json runs(const std::string& directory) const { return Json::parse(read_file(path() / directory / "runs.json")); }

  static constexpr const char* kExperiment =
      "seed: 1\nname: ${seed}x\nfake: {steps: 2, behave: ok}\nlauncher: {name: local, jobs: 2}\nsweep:\n  grid: {seed: "
      "\"1,2,3\"}\n";

 private:
  TemporaryDirectory dir_, cache_;
};

std::size_t count_status(const Json& runs, const std::string& status) {
  return static_cast<std::size_t>(
      std::count_if(runs.begin(), runs.end(), [&](const Json& run) { return run["status"] == status; }));
}

}  // namespace

TEST_CASE("run does a sweep and leaves what the contract says", "[cli]") {
  const Place place;
  const Captured done = place.mneme({"run", "exp.yaml", "--out", "out"});
  CHECK(done.exit.code == 0);
  CHECK(contains(done.error, "3 of 3 run(s) done"));
  CHECK(contains(done.output, "aa.last"));
  const Json runs = place.runs("out");
  REQUIRE(runs.size() == 3);
  CHECK(runs[1]["overrides"] == Json{"seed=2"});
  CHECK(count_status(runs, "done") == 3);
  const std::string id = runs[1]["id"];
  CHECK(id.size() == 12);
  const auto hydra = [&](const std::string& name) { return read_file(place.path() / "out" / id / ".hydra" / name); };
  CHECK(hydra("config.yaml") ==
        "seed: 2\nname: ${seed}x\nfake:\n  steps: 2\n  behave: ok\nlauncher:\n  name: local\n  jobs: 2\n");
  CHECK(hydra("overrides.yaml") == "- seed=2\n");
  CHECK(contains(hydra("hydra.yaml"), "  runtime:\n"));
  CHECK(contains(hydra("hydra.yaml"), fmt::format("output_dir: {}\n", (place.path() / "out" / id).string())));
  CHECK(Json::parse(hydra("resolved.json"))["name"] == "2x");
  CHECK(contains(read_file(place.path() / "out" / "sweep.yaml"), "sweep:\n  grid:\n    seed: 1,2,3\n"));
  const Json plan = Json::parse(place.mneme({"plan", "exp.yaml", "--format", "json"}).output);
  CHECK(plan["runs"][1]["id"] == id);
  CHECK(plan["runs"][1]["overrides"] == Json{"seed=2"});
  CHECK(plan["runs"][1]["memory_bytes"] > 1 << 20);  // foreseen; corrected by what the runs took
}

TEST_CASE("a single run has the same layout, under a dated name", "[cli]") {
  const Place place("seed: 1\nfake: {steps: 1}\n");
  CHECK(place.mneme({"run", "exp.yaml"}).exit.code == 0);
  const auto results = place.path() / "results" / "exp";
  REQUIRE(std::distance(fs::directory_iterator(results), fs::directory_iterator()) == 1);
  const auto home = fs::directory_iterator(results)->path();
  CHECK(home.filename().string().size() == std::string("2026-11-22_14-05-09").size());
  const Json runs = place.runs(home.string());
  REQUIRE(runs.size() == 1);
  CHECK(runs[0]["overrides"].empty());
  CHECK(read_file(home / runs[0]["id"].get<std::string>() / ".hydra" / "overrides.yaml") == "[]\n");
}

TEST_CASE("two sweeps that start at once never share a directory", "[cli]") {
  const Place place;
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 4; ++i) children.push_back(std::make_unique<Child>(place.command({"run", "exp.yaml"})));
  for (auto& child : children) {
    std::optional<ProcessExit> exit;
    while (!(exit = child->poll())) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(exit->code == 0);
  }
  int sweeps = 0;
  for (const auto& entry : fs::directory_iterator(place.path() / "results" / "exp")) {
    CHECK(count_status(place.runs(entry.path().string()), "done") == 3);
    ++sweeps;
  }
  CHECK(sweeps == 4);
}

TEST_CASE("bad input is refused before anything is created", "[cli]") {
  const Place place;
  const auto refused = [&](std::vector<std::string> arguments, int code, const std::string& message) {
    const Captured captured = place.mneme(std::move(arguments));
    CHECK(captured.exit.code == code);
    CAPTURE(captured.error, message);
    CHECK(contains(captured.error, message));
  };
  refused({"run"}, 2, "expected an experiment file");
  refused({"run", "nothing.yaml"}, 1, "nothing.yaml");
  refused({"run", "exp.yaml", "--job", "2"}, 2, "unknown option '--job'; did you mean '--jobs'?");
  refused({"run", "exp.yaml", "--jobs", "0"}, 2, "--jobs: found 0; expected at least 1");
  refused({"run", "exp.yaml", "--jobs", "x"}, 2, "jobs");
  refused({"run", "exp.yaml", "--launcher", "slrm"}, 2, "--launcher: unknown value 'slrm'; did you mean 'slurm'?");
  refused({"run", "exp.yaml", "--extend"}, 2, "--extend needs --out DIR");
  refused({"run", "exp.yaml", "--submit-only"}, 2, "--submit-only needs --launcher slurm");
  refused({"run", "exp.yaml", "--plugin-path", "nowhere"}, 2, "--plugin-path nowhere: is not a directory");
  refused({"run", "exp.yaml", "sede=2"}, 1, "seed");
  refused({"run", "exp.yaml", "seed=range(3,1)", "-m"}, 1, "");
  refused({"run", "exp.yaml", "launcher.jobs=-1"}, 1, "launcher.jobs: found -1; expected 1 or more");
  refused({"run", "exp.yaml", "+launcher.job=1"}, 1, "launcher.job: nothing reads this key; did you mean 'jobs'?");
  refused({"run", "exp.yaml", "+fake.invalid=no such data"}, 1, "no such data");
  refused({"plan", "exp.yaml", "+fake.invalid=no such data"}, 1, "no such data");
  refused({"run", "exp.yaml", "--out", "/proc/nothing"}, 1, "/proc/nothing");
  place.write("full/file", "x");
  refused({"run", "exp.yaml", "--out", "full"}, 1, "full: exists and is not an empty directory");
  refused({"status", "full"}, 1, "it has no runs.json");
  refused({"status"}, 2, "expected one directory");
  refused({"resume", "out", "--out", "other"}, 2, "--out other: a sweep is resumed where it is");
  refused({"resume", "exp.yaml"}, 1, "it has no runs.json");
  CHECK(std::distance(fs::directory_iterator(place.path()), fs::directory_iterator()) == 2);
}

TEST_CASE("a missing program is said, and plan goes on without it", "[cli]") {
  const Place place;
  ChildOptions options = place.command({"run", "exp.yaml"});
  options.environment["MNEME_RUNNER"] = "/no/such/mneme-run";
  const Captured run = run_and_capture(options);
  CHECK(run.exit.code == 1);
  CHECK(contains(run.error, "/no/such/mneme-run: the program that does the runs is not there"));
  options.arguments[1] = "plan";
  const Captured plan = run_and_capture(options);
  CHECK(plan.exit.code == 0);
  CHECK(contains(plan.output, "exp: 3 run(s)"));
}

TEST_CASE("a failed sweep exits with 1 and names the failure; resume does only what is left", "[cli]") {
  const Place place(
      "seed: 1\nfake: {steps: 2, behave: ok, attempts: 1}\nlauncher: {name: local, jobs: 2}\n"
      "sweep:\n  blocks:\n    - grid: {fake.behave: \"abort,ok\"}\n    - grid: {fake.steps: \"3,4\"}\n");
  const Captured failed = place.mneme({"run", "exp.yaml", "--out", "out"});
  CHECK(failed.exit.code == 1);
  CHECK(contains(failed.error, "3 of 4 run(s) done, 1 failed"));
  CHECK(contains(failed.error, "aborted (SIGABRT)"));
  CHECK(contains(failed.error, "go on with: mneme resume out\n"));
  const Captured resumed = place.mneme({"resume", "out", "--jobs", "1"});
  CHECK(resumed.exit.code == 0);
  CHECK(contains(resumed.error, "1 run(s), 1 at a time"));
  CHECK(Json::parse(read_file(place.path() / "out" / ".mneme" / "settings.json"))["launcher"]["jobs"] == 1);
  CHECK(count_status(place.runs("out"), "done") == 4);
  const Captured drift = place.mneme({"resume", "out", "seed=2"});
  CHECK(drift.exit.code == 1);
  CHECK(contains(drift.error, "seed=2: the config of a sweep that has begun does not change"));
  const Captured again = place.mneme({"resume", "out", "--extend", "-m"});
  CHECK(again.exit.code == 0);
  CHECK(contains(again.error, "nothing to resume"));
}

TEST_CASE("extending runs what is missing and nothing twice", "[cli]") {
  const Place place;
  CHECK(place.mneme({"run", "exp.yaml", "--out", "out"}).exit.code == 0);
  CHECK(contains(place.mneme({"run", "exp.yaml", "--out", "out"}).error, "holds a sweep already"));
  const Captured extended = place.mneme({"run", "exp.yaml", "seed=2,3,4,5", "--out", "out", "--extend"});
  CHECK(extended.exit.code == 0);
  CHECK(contains(extended.error, "out: 2 run(s) added to 3"));
  const Json runs = place.runs("out");
  CHECK(runs.size() == 5);
  CHECK(count_status(runs, "done") == 5);
  for (const auto& run : runs) {
    CHECK(count_lines(place.path() / "out" / run["id"].get<std::string>() / "starts.txt") == 1);
  }
  CHECK(place.mneme({"run", "exp.yaml", "--out", "new", "--extend"}).exit.code == 0);
}

TEST_CASE("Ctrl-C stops a sweep and says how to go on; status and resume see a live one", "[cli]") {
  const Place place(
      "seed: 1\nfake: {steps: 120, step_ms: 10}\nlauncher: {name: local, jobs: 2}\nsweep: {grid: {seed: \"1,2,3\"}}\n");
  ChildOptions options = place.command({"run", "exp.yaml", "--out", "a sweep"});
  options.log = place.path() / "log";
  Child child(options);
  Json status;
  for (int i = 0; i < 500; ++i) {
    const Captured captured = place.mneme({"status", "a sweep", "--format", "json"});
    if (captured.ok()) status = Json::parse(captured.output);
    if (status.is_object() && status["counts"]["running"] == 2 && status["runs"][0].contains("phase")) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(status["status"] == "running");
  CHECK(status["counts"]["pending"] == 1);
  CHECK(status["launcher"]["pid"] == child.pid());
  CHECK(status["runs"][0]["phase"] == "train");
  const Captured refused = place.mneme({"resume", "a sweep"});
  CHECK(refused.exit.code == 1);
  CHECK(contains(refused.error, fmt::format("another mneme process ({} on", child.pid())));
  child.signal(SIGINT);
  std::optional<ProcessExit> exit;
  while (!(exit = child.poll())) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(exit->code == 1);
  CHECK(contains(read_file(place.path() / "log"), "go on with: mneme resume 'a sweep'\n"));
  const Captured dead = place.mneme({"status", "a sweep"});
  CHECK(contains(dead.output, "a sweep: interrupted"));
  CHECK(contains(dead.output, "go on with: mneme resume 'a sweep'\n"));
  CHECK(place.mneme({"resume", "a sweep"}).exit.code == 0);
}

TEST_CASE("runs keep their directory and threads when a sweep is resumed from elsewhere", "[cli]") {
  const Place place(
      "seed: 1\nfake: {steps: 2, behave: abort, attempts: 1}\nlauncher: {name: local, jobs: 1, threads: 1}\n");
  CHECK(place.mneme({"run", "exp.yaml", "--out", "out"}).exit.code == 1);
  ChildOptions options = place.command({"resume", (place.path() / "out").string()});
  options.directory = "/";
  CHECK(run_and_capture(options).exit.code == 0);
  const std::string id = place.runs("out")[0]["id"];
  CHECK(last_log_lines(place.path() / "out" / id, 1)[0] == "threads 1 gpus - cwd " + place.path().string());
}

TEST_CASE("the launcher of the command line chooses the config group's option", "[cli]") {
  const Place place("defaults: [launcher: local, _self_]\nseed: 1\n");
  place.write("launcher/local.yaml", "name: local\n");
  place.write("launcher/slurm.yaml", "name: slurm\npartition: long\n");
  const Json plan = Json::parse(place.mneme({"plan", "exp.yaml", "--launcher", "slurm", "--format", "json"}).output);
  CHECK(contains(plan["sbatch"].get<std::string>(), "#SBATCH --partition=long\n"));
  CHECK(plan["runs"][0]["overrides"].empty());
  const Json local = Json::parse(place.mneme({"plan", "exp.yaml", "--format", "json"}).output);
  CHECK(local["runs"][0]["id"] == plan["runs"][0]["id"]);
  CHECK_FALSE(local.contains("sbatch"));
}

TEST_CASE("plan predicts from what finished runs took", "[cli]") {
  const Place place;
  CHECK(contains(place.mneme({"plan", "exp.yaml"}).output, "time unknown until a run of this kind has finished here"));
  CHECK(place.mneme({"run", "exp.yaml", "--out", "out"}).exit.code == 0);
  // By its record a step takes the fake 2 seconds, an answer 3; it answers 2 + 1.
  const Json plan = Json::parse(place.mneme({"plan", "exp.yaml", "fake.steps=20", "--format", "json"}).output);
  CHECK(plan["runs"][0]["seconds"].get<double>() == Approx(20 * 2 + 3 * 3));
  CHECK(plan["runs"][0]["rough"] == false);
  const Json other = Json::parse(place.mneme({"plan", "exp.yaml", "fake.behave=diverge", "--format", "json"}).output);
  CHECK(other["runs"][0]["rough"] == true);
  // Memory and disk are what the runs took.
  std::int64_t bytes = 0;
  const fs::path run = place.path() / "out" / place.runs("out")[1]["id"].get<std::string>();
  for (const auto& entry : fs::recursive_directory_iterator(run))
    if (entry.is_regular_file()) bytes += static_cast<std::int64_t>(entry.file_size());
  CHECK(plan["runs"][0]["disk_bytes"].get<double>() == Approx(static_cast<double>(bytes)).epsilon(0.01));
  const auto peak = read_ending(run)->peak_bytes;
  CHECK(plan["runs"][0]["memory_bytes"].get<double>() == Approx(static_cast<double>(peak)).epsilon(0.2));
  CHECK(contains(place.mneme({"plan", "exp.yaml"}).output, "with 2 run(s) at a time, up to "));
}

TEST_CASE("a thousand runs are planned within two seconds", "[cli]") {
  const Place place;
  const auto start = std::chrono::steady_clock::now();
  const Json plan = Json::parse(place.mneme({"plan", "exp.yaml", "seed=range(1000)", "--format", "json"}).output);
  CHECK(plan["runs"].size() == 1000);
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 2);
}
