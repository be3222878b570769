#include "tools/cli/light/error_positions.h"

#include "tests/core/config/config_tree.h"
#include "tests/support/catch.h"

using namespace mneme;
using cli::with_positions;
using config::ConfigTree;

TEST_CASE("messages about a run's key get the place where the key was written", "[command]") {
  const ConfigTree tree(
      {{"config.yaml", "defaults: [{train: fast}]\nseed: 1\n"}, {"train/fast.yaml", "batch_size: 0\nrate: 1\n"}});
  const config::Plan plan = tree.plan({"train.rate=-1"});
  const std::string run = "run " + plan.runs[0].id + ": ";
  const std::string fast = (tree.root / "train/fast.yaml").string();
  CHECK(with_positions(run + "train.batch_size: 0 is too small", plan) ==
        fast + ":1:13: " + run + "train.batch_size: 0 is too small");
  CHECK(with_positions(run + "train.rate: is negative", plan) ==
        "<command line>:1:12: " + run + "train.rate: is negative");
  // A key that nobody wrote stands where the map above it does.
  CHECK(with_positions(run + "train.epochs: is missing", plan) == fast + ":1:1: " + run + "train.epochs: is missing");
}

TEST_CASE("each line stands for itself; what names no run or key stays as it is", "[command]") {
  const ConfigTree tree({{"config.yaml", "seed: 1\n"}});
  const config::Plan plan = tree.plan();
  const std::string run = "run " + plan.runs[0].id + ": ";
  const std::string seed = (tree.root / "config.yaml").string() + ":1:7: ";
  CHECK(with_positions(run + "seed: a\nno run here\n" + run + "seed: b", plan) ==
        seed + run + "seed: a\nno run here\n" + seed + run + "seed: b");
  const std::vector<std::string> others = {"run 000000000000: seed: of another sweep",
                                           run + "out of memory: 3 GiB are free", run + "'x.so': cannot be loaded",
                                           "run: seed", ""};
  for (const std::string& line : others) CHECK(with_positions(line, plan) == line);
}
