#include "core/config/section.h"

#include "core/base/error.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

TEST_CASE("a section reads typed values and remembers them", "[config][section]") {
  const Node root = parse_yaml(
      "lr: 1\nsteps: 3\nflag: true\nname: x\nlist: [1, 2]\nopt: {kind: adam, beta: 0.9}\nnone: null\n", "f.yaml");
  const Section section(root, "train");
  CHECK(section.real("lr") == 1.0);
  CHECK(section.int64("steps") == 3);
  CHECK(section.flag("flag"));
  CHECK(section.text("name") == "x");
  CHECK(section.int64s("list") == std::vector<std::int64_t>{1, 2});
  CHECK(section.reals("list") == std::vector<double>{1, 2});
  CHECK(section.real("absent", 0.5) == 0.5);
  CHECK_FALSE(section.maybe_int64("none"));
  CHECK(section.is_null("none"));
  const Section opt = section.section("opt");
  CHECK(opt.choice("kind", {"adam", "sgd"}) == "adam");
  CHECK_THROWS_WITH(section.finish(), Catch::StartsWith("f.yaml:6:25: train.opt.beta: nothing reads this key"));
  CHECK(opt.real("beta") == 0.9);
  section.finish();
}

TEST_CASE("a section's errors name position, key, found and expected", "[config][section]") {
  const Node root = parse_yaml("seed: x\nsteps: 1.5\nkind: adan\nmust: ???\nlist: [1, a]\n", "f.yaml");
  const Section section(root);
  CHECK_THROWS_WITH(section.int64("seed"), "f.yaml:1:7: seed: expected a whole number, found string 'x'");
  CHECK_THROWS_WITH(section.int64("steps"), Catch::Contains("steps: expected a whole number, found float 1.5"));
  CHECK_THROWS_WITH(section.choice("kind", {"adam", "sgd"}),
                    Catch::Contains("expected one of adam, sgd, found 'adan'; did you mean 'adam'?"));
  CHECK_THROWS_WITH(section.int64("must"), Catch::Contains("must: the value is ??? and must be given"));
  CHECK_THROWS_WITH(section.int64("sede"), Catch::Contains("sede: the key is missing; 'seed' is there"));
  CHECK_THROWS_WITH(section.int64s("list"), Catch::Contains("expected a whole number, found string 'a'"));
  CHECK_THROWS_AS(Section(root.at("seed"), "s"), ConfigError);
}

TEST_CASE("an unread key is named with the nearest known one", "[config][section]") {
  const Node root = parse_yaml("learning_rat: 1\n", "f.yaml");
  const Section section(root, "train");
  section.real("learning_rate", 0.1);
  CHECK_THROWS_WITH(section.finish(),
                    "f.yaml:1:15: train.learning_rat: nothing reads this key; did you mean 'learning_rate'?");
}
