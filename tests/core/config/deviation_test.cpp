// One test per deliberate deviation from Hydra 1.3.8 (core/config/LANGUAGE.md). D3 and D4 concern the launcher's
// directories and are tested there.
#include <cstdlib>

#include "core/base/error.h"
#include "core/config/override.h"
#include "tests/core/config/config_tree.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
using Texts = std::vector<std::string>;
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const ConfigError& e) {
    return e.message();
  }
  return "no error";
}
}  // namespace

TEST_CASE("D1: an empty sweep is an error unless allowed", "[config][D1]") {
  const ConfigTree tree({{"config.yaml", "seed: 0\n"}});
  CHECK_THAT(error_of([&] { tree.plan({"seed=range(3,1)"}, true); }), Catch::Contains("the sweep has no runs"));
  CHECK_THAT(error_of([&] { tree.plan({"seed=glob(z*)"}, true); }), Catch::Contains("the sweep has no runs"));
  CHECK(tree.plan({"seed=range(3,1)", "sweep.allow_empty=true"}, true).runs.empty());
}

TEST_CASE("D2: equal runs draw a warning and can be left out", "[config][D2]") {
  const ConfigTree tree({{"config.yaml", "seed: 0\n"}});
  const Plan both = tree.plan({"seed=1,1"}, true);
  REQUIRE(both.runs.size() == 2);
  CHECK(both.runs[0].id != both.runs[1].id);
  REQUIRE(both.warnings.size() == 1);
  CHECK_THAT(both.warnings[0], Catch::Contains("the runs [seed=1] and [seed=1] are the same"));
  CHECK(tree.plan({"seed=1,1", "sweep.dedup=true"}, true).runs.size() == 1);
}

TEST_CASE("D5: a sweep function among commas and an interval in a grid are errors with advice", "[config][D5]") {
  CHECK_THAT(error_of([] { parse_override("a=choice(1,2),3"); }),
             Catch::Contains("write all the values in one choice(…)"));
  CHECK_THAT(error_of([] { parse_override("a=[choice(1,2)]"); }),
             Catch::Contains("a sweep cannot stand inside a list"));
  const ConfigTree tree({{"config.yaml", "a: 0\n"}});
  CHECK_THAT(error_of([&] { tree.plan({"a=interval(0,1)"}, true); }),
             Catch::Contains("use range(start,stop,step) or a choice"));
}

TEST_CASE("D8: a slash in a key without such a group is an error", "[config][D8]") {
  const ConfigTree tree({{"config.yaml", "a: 0\n"}, {"db/pg.yaml", "n: 1\n"}});
  CHECK_THAT(error_of([&] { tree.compose({"+db/x=1"}); }), Catch::Contains("there is no config group 'db/x'"));
}

TEST_CASE("D9: an empty key is an error", "[config][D9]") {
  for (const std::string text : {"=1", "+=1", "~=1", "~"})
    CHECK_THAT(error_of([&] { parse_override(text); }), Catch::Contains("the key is empty"));
}

TEST_CASE("D10: a scalar that becomes a map draws a warning", "[config][D10]") {
  const ConfigTree tree({{"config.yaml", "a: 1\nb: null\n"}});
  const Composition composition = tree.compose({"a={x:1}", "b={x:1}", "++a.y.z=2"});
  REQUIRE(composition.warnings.size() == 1);
  CHECK_THAT(composition.warnings[0], Catch::Contains("a={x:1}: turns the int 1") && Catch::Contains("into a map"));
}

TEST_CASE("D11: shuffles follow sweep.seed and stand in the overrides", "[config][D11]") {
  const ConfigTree tree({{"config.yaml", "seed: 0\nl: []\n"}});
  const Texts first = run_texts(tree.plan({"seed=shuffle(range(0,20))"}, true));
  CHECK(first == run_texts(tree.plan({"seed=shuffle(range(0,20))"}, true)));
  CHECK(first != run_texts(tree.plan({"seed=shuffle(range(0,20))", "sweep.seed=1"}, true)));
  Texts sorted = first;
  std::sort(sorted.begin(), sorted.end());
  CHECK(std::unique(sorted.begin(), sorted.end()) == sorted.end());
  CHECK(first.size() == 20);
  const Plan list = tree.plan({"l=shuffle([1,2,3,4,5,6,7,8,9])"});
  CHECK(list.runs[0].overrides[0] == fmt::format("l={}", [&] {
          std::string text;
          for (const Node& item : list.runs[0].resolved.at("l").items())
            text += (text.empty() ? "[" : ",") + item.int_digits();
          return text + "]";
        }()));
}

TEST_CASE("D12: numbers in base 8 and 60 draw a warning", "[config][D12]") {
  const ConfigTree tree({{"config.yaml", "a: 010\nb: 12:30\n"}});
  CHECK(tree.compose().warnings.size() == 2);
}

TEST_CASE("D13: ~key=null wants a null, a bare ~key takes any value", "[config][D13]") {
  const ConfigTree tree({{"config.yaml", "a: 1\nb: null\nc: 2\n"}});
  CHECK_THAT(error_of([&] { tree.compose({"~a=null"}); }), Catch::Contains("the value of 'a' is 1 and not None"));
  CHECK(tree.yaml({"~b=null"}) == "a: 1\nc: 2\n");
  CHECK(tree.yaml({"~a"}) == "b: null\nc: 2\n");
  CHECK(run_texts(tree.plan({"~a", "c=3,4"}, true)) == Texts{"~a c=3", "~a c=4"});
}

TEST_CASE("D14: group=null removes the choice", "[config][D14]") {
  const ConfigTree tree({{"config.yaml", "defaults:\n  - db: pg\n  - _self_\na: 1\n"}, {"db/pg.yaml", "n: 1\n"}});
  CHECK(tree.yaml({"db=null"}) == "a: 1\n");
}

TEST_CASE("D16: slashes in override_dirname are escaped", "[config][D16]") {
  const ConfigTree tree({{"config.yaml", "path: x\na: 1\nb: 2\nout: ${hydra:job.override_dirname}\n"}});
  CHECK(resolve(tree.compose({"path=/d/e", "a=3"})).at("out").as_string() == "a=3,path=%2Fd%2Fe");
  CHECK(resolve(tree.compose({"path=x", "a=3", "b=4", "hydra.job.config.override_dirname.exclude_keys=[a]",
                              "hydra.job.config.override_dirname.kv_sep=:"}))
            .at("out")
            .as_string() == "b:4,path:x");
}

TEST_CASE("D17: '#' and letters beyond ASCII only with MNEME_LENIENT=1", "[config][D17]") {
  CHECK_THAT(error_of([] { parse_override("a=x#é"); }), Catch::Contains("unexpected character"));
  ::setenv("MNEME_LENIENT", "1", 1);
  CHECK(parse_override("a=x#é中").value.scalar.as_string() == "x#é中");
  CHECK_THAT(error_of([] { parse_override("a=x;y"); }), Catch::Contains("unexpected character"));
  ::unsetenv("MNEME_LENIENT");
}

TEST_CASE("D18: how runs are started cannot be swept", "[config][D18]") {
  const ConfigTree tree({{"config.yaml", "launcher: {jobs: 1}\n"}});
  for (const std::string key : {"launcher.jobs", "hydra.run.dir", "hydra/launcher", "sweep.seed"})
    CHECK_THAT(error_of([&] { tree.plan({key + "=1,2"}, true); }), Catch::Contains("cannot be swept"));
}

TEST_CASE("D19: float ranges follow exact decimal arithmetic", "[config][D19]") {
  const auto values = [](const std::string& text) {
    std::string joined;
    for (const Element& value : sweep_values(parse_override(text).sweep)) joined += element_text(value) + " ";
    return joined;
  };
  CHECK(values("a=range(1,2,0.1)") == "1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 ");
  CHECK(values("a=range(0.1,0.5,0.1)") == "0.1 0.2 0.3 0.4 ");
  CHECK(values("a=range(1e-1,1,0.3)") == "0.1 0.4 0.7 ");
  CHECK(values("a=range(0,10,3.3)") == "0.0 3.3 6.6 9.9 ");
  CHECK(values("a=range(1.0,0.0,-0.25)") == "1.0 0.75 0.5 0.25 ");
  CHECK(values("a=range(1e-300,4e-300,1e-300)") == "1e-300 2e-300 3e-300 ");
  CHECK_THAT(error_of([&] { values("a=range(0,1,1e-9)"); }), Catch::Contains("more than 1000000 values"));
  CHECK_THAT(error_of([&] { values("a=range(inf)"); }), Catch::Contains("finite"));
}

TEST_CASE("D20: a range with step zero is an error at once", "[config][D20]") {
  for (const std::string text : {"a=range(1,4,0)", "a=range(1,4,0.0)", "a=int(range(1,4,0.5))"})
    CHECK_THAT(error_of([&] { parse_override(text); }), Catch::Contains("zero"));
}

TEST_CASE("D21: +hydra.sweeper.params.key on the command line sweeps the key", "[config][D21]") {
  const ConfigTree tree({{"config.yaml", "seed: 0\n"}});
  CHECK(run_texts(tree.plan({"+hydra.sweeper.params.seed='1,2'"}, true)) == Texts{"seed=1", "seed=2"});
  CHECK_THAT(error_of([&] { tree.plan({"+hydra.sweeper.params.seed='1,2'"}); }), Catch::Contains("-m"));
}

TEST_CASE("D22: tags whose values no configuration holds are errors", "[config][D22]") {
  for (const std::string text :
       {"!!omap [a: 1]", "!!pairs [a: 1]", "!!binary aGk=", "!!timestamp 2020-01-01", "!!set {a}"})
    CHECK_THAT(error_of([&] { parse_yaml("key: " + text + "\n", "c.yaml"); }),
               Catch::Contains("c.yaml:1:6") && Catch::Contains("is not supported"));
}
