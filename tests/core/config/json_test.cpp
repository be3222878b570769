#include "core/config/json.h"

#include "core/base/error.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

TEST_CASE("JSON loses nothing: types, key order, typed keys, large and special numbers", "[config][json]") {
  const Node root = parse_yaml(
      "b: 1\na: 1.0\nc: [null, true, -.inf, .nan, 1e300]\nbig: 123456789012345678901234567890\n1: x\ntrue: y\n1.5: "
      "z\n'1': w\n"
      "d: {$dict: 1, $float: inf}\ne: \"a\\nb\\u00e9\"\nf: {}\ng: []\nh: {$float: inf}\n",
      "f.yaml");
  CHECK(parse_json(dump_json(root), "j") == root);
  CHECK(parse_json(dump_json(root, {.indent = 2}), "j") == root);
  CHECK(dump_json(parse_yaml("{a: 1.0, b: 1}", "f")) == "{\"a\": 1.0, \"b\": 1}");
}

TEST_CASE("positions travel with the values on request", "[config][json]") {
  const Node root = parse_yaml("a: 1\nb: [x, {c: 2}]\n", "dir/f.yaml");
  const Node back = parse_json(dump_json(root, {.positions = true}), "child");
  CHECK(back == root);
  CHECK(to_string(back.at("b").items()[1].at("c").position()) == "dir/f.yaml:2:12");
  CHECK(parse_json("{\"a\": 1}", "child").at("a").position().file == "child");
}

TEST_CASE("broken JSON is refused with its name", "[config][json]") {
  CHECK_THROWS_WITH(parse_json("{\"a\": ", "x.json"), Catch::StartsWith("x.json: byte"));
  CHECK_THROWS_WITH(parse_json("\"\xff\"", "x.json"), Catch::Contains("UTF-8"));
  CHECK_THROWS_WITH(parse_json(std::string(10000, '['), "x.json"), Catch::Contains("levels"));
  CHECK_THROWS_WITH(parse_json("{\"$value\": 1, \"$positions\": {\"files\": [], \"at\": [0, 1, 1]}}", "x"),
                    Catch::Contains("not listed"));
}
