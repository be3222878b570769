#include <chrono>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/core/config/config_tree.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
using Texts = std::vector<std::string>;

std::string error_of(const ConfigTree& tree, Texts overrides = {}, bool multirun = false) {
  try {
    tree.plan(std::move(overrides), multirun);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

std::string with_sweep(const std::string& sweep) {
  return "defaults:\n  - model: t5\n  - _self_\nseed: 0\nlr: 1e-3\nbuffer: 10\nepochs: 1\nstream: {order: [a, b, c, "
         "d]}\nsweep:\n" +
         sweep;
}

ConfigTree sweep_tree(const std::string& sweep) {
  return ConfigTree({{"config.yaml", with_sweep(sweep)},
                     {"model/t5.yaml", "name: t5\n"},
                     {"model/llama.yaml", "name: llama\n"},
                     {"model/llava.yaml", "name: llava\n"}});
}
}  // namespace

TEST_CASE("a file without a sweep is one run", "[config][plan]") {
  const ConfigTree tree({{"config.yaml", "a: 1\nb: ${a}\n"}});
  const Plan plan = tree.plan({"a=2"});
  CHECK_FALSE(plan.is_sweep);
  CHECK(plan.name == "config");
  REQUIRE(plan.runs.size() == 1);
  CHECK(dump_yaml(plan.runs[0].config) == "a: 2\nb: ${a}\n");
  CHECK(dump_yaml(plan.runs[0].resolved) == "a: 2\nb: 2\n");
  CHECK(plan.runs[0].id.size() == 12);
}

TEST_CASE("a grid varies its last key fastest; the sweep block is no part of a run", "[config][plan]") {
  const Plan plan = sweep_tree("  name: t\n  grid: {seed: \"1,2\", lr: [1e-3, x]}\n").plan();
  CHECK(plan.is_sweep);
  CHECK(plan.name == "t");
  CHECK(run_texts(plan) == Texts{"seed=1 lr=0.001", "seed=1 lr=x", "seed=2 lr=0.001", "seed=2 lr=x"});
  CHECK_FALSE(plan.runs[0].config.has("sweep"));
  CHECK(plan.runs[2].index == 2);
  CHECK(plan.sweep.at("name").as_string() == "t");
}

TEST_CASE("zipped keys move together, fastest; lengths must match", "[config][plan]") {
  CHECK(run_texts(sweep_tree("  grid: {seed: \"1,2\"}\n  zip: {lr: \"1e-3,3e-4\", epochs: \"1,3\"}\n").plan()) ==
        Texts{"seed=1 lr=0.001 epochs=1", "seed=1 lr=0.0003 epochs=3", "seed=2 lr=0.001 epochs=1",
              "seed=2 lr=0.0003 epochs=3"});
  CHECK_THAT(error_of(sweep_tree("  zip: {lr: \"1,2\", epochs: \"1,2,3\"}\n")),
             Catch::Contains("'lr' (2 values) and 'epochs' (3 values) differ in length"));
}

TEST_CASE("blocks are a union, filtered by where, with common base overrides", "[config][plan]") {
  const Plan plan = sweep_tree(
                        "  base: [model=llama, +extra=1]\n  blocks:\n    - grid: {seed: \"1,2\"}\n    - grid: {buffer: "
                        "\"100,1000\", lr: \"1e-3,1e-4\"}\n      where: buffer < 500 or lr < 1e-3\n")
                        .plan();
  CHECK(run_texts(plan) ==
        Texts{"model=llama +extra=1 seed=1", "model=llama +extra=1 seed=2", "model=llama +extra=1 buffer=100 lr=0.001",
              "model=llama +extra=1 buffer=100 lr=0.0001", "model=llama +extra=1 buffer=1000 lr=0.0001"});
  CHECK(plan.runs[0].resolved.at("model").at("name").as_string() == "llama");
}

TEST_CASE("where knows swept keys, group choices and composed values", "[config][plan]") {
  const auto runs = [](const std::string& where) {
    return sweep_tree("  grid: {model: \"t5,llama\", seed: \"1,2\"}\n  where: \"" + where + "\"\n").plan().runs.size();
  };
  CHECK(runs("model == t5") == 2);
  CHECK(runs("model != 't5' and seed >= 2") == 1);
  CHECK(runs("not (seed in [1])") == 2);
  CHECK(runs("model.name == llama") == 2);
  CHECK(runs("epochs == 1") == 4);
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: \"1,2\"}\n  where: seed <\n")),
             Catch::Contains("where: 'seed <': at byte 7: a value is missing"));
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: \"1,2\"}\n  where: seed < x\n")), Catch::Contains("have no order"));
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: \"1,2\"}\n  where: seed\n")),
             Catch::Contains("expected a comparison"));
}

TEST_CASE("order names keys from the slowest to the fastest", "[config][plan]") {
  CHECK(run_texts(sweep_tree("  grid: {seed: \"1,2\", lr: \"3,4\"}\n  order: [lr, seed]\n").plan()) ==
        Texts{"seed=1 lr=3", "seed=2 lr=3", "seed=1 lr=4", "seed=2 lr=4"});
}

TEST_CASE("an override on the command line replaces that key's sweep", "[config][plan]") {
  const ConfigTree tree = sweep_tree("  grid: {seed: \"1,2\", lr: \"3,4\"}\n");
  CHECK(run_texts(tree.plan({"seed=9"})) == Texts{"seed=9 lr=3", "seed=9 lr=4"});
  CHECK(run_texts(tree.plan({"seed=7,8"})) == Texts{"seed=7 lr=3", "seed=7 lr=4", "seed=8 lr=3", "seed=8 lr=4"});
  CHECK(run_texts(tree.plan({"buffer=5,6", "lr=1"})) ==
        Texts{"seed=1 lr=1 buffer=5", "seed=1 lr=1 buffer=6", "seed=2 lr=1 buffer=5", "seed=2 lr=1 buffer=6"});
}

TEST_CASE("sweeps on the command line need -m and follow Hydra's order", "[config][plan]") {
  const ConfigTree tree({{"config.yaml", "a: 0\nb: 0\n"}});
  CHECK_THAT(error_of(tree, {"a=1,2"}), Catch::Contains("can mean three things"));
  const Plan plan = tree.plan({"a=1,2", "b=x,y"}, true);
  CHECK(run_texts(plan) == Texts{"a=1 b=x", "a=1 b=y", "a=2 b=x", "a=2 b=y"});
  CHECK(run_texts(tree.plan({"a=1,2", "a=3"}, true)) == Texts{"a=3"});
  CHECK(run_texts(tree.plan({"hydra.mode=MULTIRUN", "a=1,2"})).size() == 2);
}

TEST_CASE("hydra.sweeper.params gives Hydra's jobs in Hydra's order", "[config][plan]") {
  const ConfigTree tree({{"config.yaml",
                          "defaults:\n  - model: t5\n  - _self_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: "
                          "{seed: \"1,2\", model: glob(l*), +extra: \"choice(a,b)\"}\nseed: 0\n"},
                         {"model/t5.yaml", "name: t5\n"},
                         {"model/llama.yaml", "name: llama\n"},
                         {"model/llava.yaml", "name: llava\n"}});
  CHECK(run_texts(tree.plan()) == Texts{"seed=1 model=llama +extra=a", "seed=1 model=llama +extra=b",
                                        "seed=1 model=llava +extra=a", "seed=1 model=llava +extra=b",
                                        "seed=2 model=llama +extra=a", "seed=2 model=llama +extra=b",
                                        "seed=2 model=llava +extra=a", "seed=2 model=llava +extra=b"});
  CHECK(tree.plan({"seed=9"}).runs.size() == 4);
  const ConfigTree plain({{"config.yaml", "seed: 0\n"}});
  CHECK(run_texts(plain.plan({"+hydra.sweeper.params.seed=\"1,2\""}, true)) == Texts{"seed=1", "seed=2"});
}

TEST_CASE("configs that bring their own sweep are expanded inside, then joined", "[config][plan]") {
  const ConfigTree tree({{"config.yaml", "seed: 0\nlr: 0\n"},
                         {"exp/a.yaml", "# @package _global_\nsweep: {grid: {seed: \"1,2\"}}\n"},
                         {"exp/b.yaml", "# @package _global_\nsweep: {grid: {lr: \"3,4\"}}\n"}});
  CHECK(run_texts(tree.plan({"+exp=a,b"}, true)) ==
        Texts{"seed=1 +exp=a", "seed=2 +exp=a", "lr=3 +exp=b", "lr=4 +exp=b"});
  CHECK(run_texts(tree.plan({"+exp=a"})) == Texts{"seed=1 +exp=a", "seed=2 +exp=a"});
}

TEST_CASE("orders of tasks can be swept", "[config][plan]") {
  const Plan square = sweep_tree("  grid: {stream.order: latin_square(seed=3)}\n").plan();
  REQUIRE(square.runs.size() == 4);
  std::vector<std::set<std::string>> at(4);
  std::set<std::pair<std::string, std::string>> neighbours;
  for (const PlannedRun& run : square.runs) {
    const auto& order = run.resolved.at("stream").at("order").items();
    for (std::size_t i = 0; i < 4; ++i) at[i].insert(order[i].as_string());
    for (std::size_t i = 0; i + 1 < 4; ++i) neighbours.emplace(order[i].as_string(), order[i + 1].as_string());
  }
  for (const auto& place : at) CHECK(place.size() == 4);
  CHECK(neighbours.size() == 12);
  const Plan some = sweep_tree("  grid: {stream.order: \"permutations(n=6, seed=1)\"}\n").plan();
  const auto texts = run_texts(some);
  CHECK(std::set<std::string>(texts.begin(), texts.end()).size() == 6);
  CHECK(run_texts(sweep_tree("  grid: {stream.order: \"permutations(n=6, seed=1)\"}\n").plan()) == texts);
  CHECK(sweep_tree("  grid: {stream.order: permutations()}\n").plan().runs.size() == 24);
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: permutations()}\n")),
             Catch::Contains("permutes the list that the key holds"));
  CHECK_THAT(error_of(sweep_tree("  grid: {stream.order: permutations(n=25)}\n")),
             Catch::Contains("4 items allow 1 to 24"));
}

TEST_CASE("a run knows its number", "[config][plan]") {
  const ConfigTree tree({{"config.yaml", "a: 0\nn: ${hydra:job.num}\n"}});
  const Plan plan = tree.plan({"a=5,6"}, true);
  CHECK(plan.runs[1].resolved.at("n").as_int() == 1);
  CHECK(dump_yaml(plan.runs[1].hydra.at("overrides").at("task")) == "- a=6\n");
}

TEST_CASE("a run's id depends on its content, not on order or launcher", "[config][plan]") {
  const auto id = [](const std::string& text) { return run_id(parse_yaml(text, "f")); };
  CHECK(id("a: 1\nb: {c: 2, d: x}\n") == id("b: {d: x, c: 2}\na: 1\n"));
  CHECK(id("a: 1\n") != id("a: 1.0\n"));
  CHECK(id("a: 1\n") != id("a: '1'\n"));
  CHECK(id("a: [1, 2]\n") != id("a: [2, 1]\n"));
  CHECK(id("a: 1\nlauncher: {jobs: 3}\n") == id("a: 1\n"));
  CHECK(id("a: {launcher: 1}\n") != id("a: {}\n"));
}

TEST_CASE("everything wrong in a sweep is found before any run starts", "[config][plan]") {
  CHECK_THAT(error_of(sweep_tree("  gird: {seed: \"1,2\"}\n")),
             Catch::Contains("sweep.gird: there is no such setting; did you mean 'grid'?"));
  CHECK_THAT(error_of(sweep_tree("  grid: {sede: \"1,2\"}\n")),
             Catch::Contains("there is no key 'sede'; did you mean 'seed'?") &&
                 Catch::Contains("while composing the run sede=1") && Catch::Contains("config.yaml:10:"));
  CHECK_THAT(error_of(sweep_tree("  grid: {model: \"t5,nope\"}\n")),
             Catch::Contains("there is no config 'model/nope'"));
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: \"1,,2\"}\n")), Catch::Contains("expected a value, found ','"));
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: {a: 1}}\n")), Catch::Contains("a text such as \"1,2\" or a list"));
  CHECK_THAT(error_of(sweep_tree("  grid: {seed: \"1,2\"}\n  zip: {seed: \"1,2\"}\n")), Catch::Contains("swept twice"));
  CHECK_THAT(error_of(sweep_tree("  name: x\n")), Catch::Contains("sweeps nothing"));
  CHECK_THAT(error_of(sweep_tree("  on_error: explode\n  grid: {seed: \"1\"}\n")),
             Catch::Contains("expected one of continue, stop"));
  const ConfigTree missing({{"config.yaml", "a: ???\nb: 1\nsweep: {grid: {b: \"1,2\"}}\n"}});
  CHECK_THAT(error_of(missing), Catch::Contains("these keys still have the value ???") && Catch::Contains("\n  a"));
}

TEST_CASE("a thousand runs are planned within a second", "[config][plan]") {
  std::string big = "kind: ewc\n";
  for (int i = 0; i < 150; ++i) big += fmt::format("p{}: {}\n", i, i * 0.5);
  const ConfigTree tree({{"config.yaml",
                          "defaults:\n  - strategy: ewc\n  - _self_\nseed: 0\nlr: 0\nname: "
                          "${strategy.kind}_${seed}\nsweep: {grid: {seed: \"range(0,100)\", lr: \"range(0,10)\"}}\n"},
                         {"strategy/ewc.yaml", big}});
  const auto start = std::chrono::steady_clock::now();
  const Plan plan = tree.plan();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(plan.runs.size() == 1000);
  std::set<std::string> ids;
  for (const PlannedRun& run : plan.runs) ids.insert(run.id);
  CHECK(ids.size() == 1000);
  CHECK(plan.runs[999].resolved.at("name").as_string() == "ewc_99");
  CHECK(seconds < 5);  // 0.25 s on one core of 2024; sanitizers and loaded machines take longer
}
