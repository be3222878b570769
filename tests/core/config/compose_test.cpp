#include "core/base/error.h"
#include "tests/core/config/config_tree.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
std::string error_of(const ConfigTree& tree, std::vector<std::string> overrides) {
  try {
    tree.compose(std::move(overrides));
  } catch (const ConfigError& e) {
    return e.message();
  }
  return "no error";
}

const std::initializer_list<std::pair<std::string, std::string>> kFiles = {
    {"config.yaml",
     "defaults:\n  - model: t5\n  - strategy: null\n  - _self_\nseed: 0\nlist: [1, 2]\nnest: {x: 1}\nmust: ???\n"},
    {"model/t5.yaml", "name: t5\nlayers: 12\n"},
    {"model/llama.yaml", "name: llama\n"},
    {"conf/strategy/ewc.yaml", "kind: ewc\n"},
};
}  // namespace

TEST_CASE("the primary's directory, its conf/ and mounted roots are searched", "[config][compose]") {
  const ConfigTree tree(kFiles);
  tree.write("plugins/lwf.yaml", "kind: lwf\n");
  tree.write("plugins/er.yaml", "kind: er\n");
  Request request = tree.request({"strategy=lwf"});
  request.search_path = {{tree.root / "plugins", "strategy"}};
  const Composition composition = compose(request);
  CHECK(composition.config.at("strategy").at("kind").as_string() == "lwf");
  CHECK(composition.choices.back() == std::pair<std::string, std::string>{"strategy", "lwf"});
  CHECK(tree.compose({"strategy=ewc"}).config.at("strategy").at("kind").as_string() == "ewc");
  request.overrides = {"strategy=nope"};
  CHECK_THROWS_WITH(compose(request), Catch::Contains("there is no config 'strategy/nope'") &&
                                          Catch::Contains("\n  er\n  ewc\n  lwf") && Catch::Contains("(as strategy/)"));
}

TEST_CASE("the position of a value says which file or override set it", "[config][compose]") {
  const ConfigTree tree(kFiles);
  const Node config = tree.compose({"model=llama", "nest.x=5"}).config;
  CHECK_THAT(to_string(config.at("model").at("name").position()), Catch::EndsWith("model/llama.yaml:1:7"));
  CHECK_THAT(to_string(config.at("seed").position()), Catch::EndsWith("config.yaml:5:7"));
  CHECK(to_string(config.at("nest").at("x").position()) == "<command line>:2:8");
}

TEST_CASE("overrides that do not fit are explained", "[config][compose][D7]") {
  const ConfigTree tree(kFiles);
  CHECK_THAT(error_of(tree, {"sede=1"}),
             Catch::Equals(
                 "<command line>:1:1: sede=1: there is no key 'sede'; did you mean 'seed'?\nTo add it, write +sede=1"));
  CHECK_THAT(error_of(tree, {"seed=1", "nest.y=1"}),
             Catch::StartsWith("<command line>:2:1: nest.y=1: there is no key 'nest.y'; did you mean 'nest.x'?"));
  CHECK_THAT(error_of(tree, {"+seed=1"}),
             Catch::Contains("'seed' exists already; to change it write seed=1 or ++seed=1"));
  CHECK_THAT(error_of(tree, {"modle=t5"}), Catch::Contains("did you mean 'model'?"));
  CHECK_THAT(error_of(tree, {"model=lama"}), Catch::Contains("there is no config 'model/lama'; did you mean 'llama'?"));
  CHECK_THAT(error_of(tree, {"+model=llama"}),
             Catch::Contains(
                 "config.yaml:2:5: the group 'model' is chosen twice: 't5' here and 'llama' at <command line>:1:1"));
  CHECK_THAT(error_of(tree, {"~nope"}), Catch::Contains("there is nothing to delete at 'nope'"));
  CHECK_THAT(error_of(tree, {"~seed=1"}), Catch::Contains("the value of 'seed' is 0 and not 1"));
  CHECK_THAT(error_of(tree, {"list.7=1"}), Catch::Contains("index 7 is outside of the list, which holds 2 values"));
  CHECK_THAT(error_of(tree, {"list={a:1}"}), Catch::Contains("is a list") && Catch::Contains("cannot take a map"));
  CHECK_THAT(error_of(tree, {"seed='${x'"}), Catch::Contains("'}' is missing"));
  CHECK_THAT(error_of(tree, {"seed=1,2"}),
             Catch::Contains("can mean three things") && Catch::Contains("'seed=[1,2]'") && Catch::Contains("-m"));
  CHECK_THAT(error_of(tree, {"seed=range(3)"}), Catch::Contains("add -m"));
  CHECK_THAT(error_of(tree, {"model@x=t5"}),
             Catch::Contains("the group 'model@x' is not in the defaults list; did you mean model?"));
  CHECK_THAT(error_of(tree, {"seed@x=1"}), Catch::Contains("there is no group 'seed'"));
}

TEST_CASE("broken defaults lists are explained", "[config][compose]") {
  const auto error = [](const std::string& text) {
    return error_of(
        ConfigTree({{"config.yaml", text}, {"db/pg.yaml", "n: 1\n"}, {"db/loop.yaml", "defaults: [loop]\n"}}), {});
  };
  CHECK_THAT(error("defaults: {db: pg}\n"), Catch::Contains("config.yaml:1:11: the defaults list must be a list"));
  CHECK_THAT(error("defaults:\n  - db: 1\n"), Catch::Contains("config.yaml:2:9: an option must be text"));
  CHECK_THAT(error("defaults:\n  - db: ???\n"),
             Catch::Contains("you must choose 'db'") && Catch::Contains("\n  loop\n  pg"));
  CHECK_THAT(error("defaults:\n  - override db: pg\n"), Catch::Contains("the group 'db' is not in the defaults list"));
  CHECK_THAT(error("defaults:\n  - _self_\n  - _self_\n"), Catch::Contains("_self_ stands twice"));
  CHECK_THAT(error("defaults:\n  - db: loop\n"), Catch::Contains("lead in a circle: "));
  CHECK_THAT(error("defaults:\n  - db: ${nope}\n"), Catch::Contains("'${nope}' in a defaults list cannot be resolved"));
  CHECK_THAT(error("defaults:\n  - override db: pg\n  - db: pg\n"), Catch::Contains("overrides come at the end"));
  CHECK_THAT(error("- 1\n"), Catch::Contains("the primary config must be a map"));
  CHECK_THAT(error("a: '${'\n"), Catch::Contains("config.yaml:1:4: a: in the interpolation"));
  CHECK_THAT(error("# @package a b\n"), Catch::Contains("a header line is '# @package NAME'"));
}

TEST_CASE("conflicts between files name both places", "[config][compose]") {
  const ConfigTree tree({{"config.yaml", "defaults:\n  - db: pg\n  - _self_\ndb: [1]\n"}, {"db/pg.yaml", "n: 1\n"}});
  CHECK_THAT(error_of(tree, {}), Catch::Contains("config.yaml:4:5: a list cannot be merged into the map 'db' of") &&
                                     Catch::Contains("pg.yaml:1:1"));
}

TEST_CASE("Hydra's own settings compose beside the configuration", "[config][compose]") {
  const ConfigTree tree({{"config.yaml", "hydra: {job: {name: n}}\nout: ${hydra:job.name}\n"}});
  const Composition composition = tree.compose({"hydra.run.dir=x/${out}", "hydra/job_logging=disabled"});
  CHECK(dump_yaml(composition.config) == "out: ${hydra:job.name}\n");
  CHECK(composition.hydra.at("run").at("dir").as_string() == "x/${out}");
  CHECK(dump_yaml(resolve(composition)) == "out: 'n'\n");
  CHECK_THAT(error_of(tree, {"hydra.jbo.name=x"}), Catch::Contains("there is no key 'hydra.jbo.name'"));
}

TEST_CASE("an added key that resembles another draws a warning", "[config][compose][D7]") {
  const ConfigTree tree(kFiles);
  CHECK(tree.compose({"+sede=1"}).warnings ==
        std::vector<std::string>{"<command line>:1:1: +sede=1: adds a new key; did you mean 'seed'?"});
  CHECK(tree.compose({"+nest.xx=1"}).warnings.size() == 1);
  CHECK(tree.compose({"+brand_new=1"}).warnings.empty());
}

TEST_CASE("a literal key with a slash can be overridden", "[config][compose]") {
  CHECK(ConfigTree({{"config.yaml", "a/b: 1\n"}}).yaml({"a/b=2"}) == "a/b: 2\n");
}

TEST_CASE("a directory without configs is no group", "[config][compose]") {
  const ConfigTree tree({{"config.yaml", "data: x\n"}, {"data/rows.txt", "1\n"}});
  CHECK(tree.yaml({"data=/d"}) == "data: /d\n");
}

TEST_CASE("a missing or unreadable primary file is an error", "[config][compose]") {
  const ConfigTree tree({{"x.yaml", ""}});
  CHECK_THROWS_WITH(tree.compose(), Catch::Contains("config.yaml: there is no such config file"));
}
