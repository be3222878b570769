#include <cstdlib>

#include "core/base/error.h"
#include "core/config/resolve.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
std::string resolved(const std::string& text) { return dump_yaml(resolve(parse_yaml(text, "f.yaml"))); }
std::string error_of(const std::string& text) {
  try {
    resolve(parse_yaml(text, "f.yaml"));
  } catch (const ConfigError& e) {
    return e.message();
  }
  return "no error";
}
}  // namespace

TEST_CASE("whole interpolations keep types, parts of texts become Python text", "[config][interpolation]") {
  CHECK(resolved("a: ${b}\nb: 1\n") == "a: 1\nb: 1\n");
  CHECK(resolved("a: x${b}${c}\nb: true\nc: 1e-5\n") == "a: xTrue1e-05\nb: true\nc: 1.0e-05\n");
  CHECK(resolved("a: ${b}\nb: {c: '${d}'}\nd: [1]\n") == "a:\n  c:\n  - 1\nb:\n  c:\n  - 1\nd:\n- 1\n");
  CHECK(resolved("a: {x: '${.y}', y: '${..z}'}\nz: 3\n") == "a:\n  x: 3\n  'y': 3\nz: 3\n");
  CHECK(resolved("k: b\na: '${c.${k}}'\nc: {b: 5}\n") == "k: b\na: 5\nc:\n  b: 5\n");
  CHECK(resolved("a: '\\${b}'\nb: 1\n") == "a: ${b}\nb: 1\n");
}

TEST_CASE("an interpolation that cannot be resolved names key, text and reason", "[config][interpolation]") {
  CHECK_THAT(error_of("a: {b: '${nope}'}\n"),
             Catch::Equals("f.yaml:1:8: a.b = '${nope}': there is no key 'nope'; known: a"));
  CHECK_THAT(error_of("a: '${seed}'\nseeds: 1\n"), Catch::Contains("did you mean 'seeds'?"));
  CHECK_THAT(error_of("a: ${b}\nb: ${a}\n"), Catch::Contains("leads back to itself"));
  CHECK_THAT(error_of("a: ${a}\n"), Catch::Contains("leads back to itself"));
  CHECK_THAT(error_of("a: {b: '${a}'}\n"), Catch::Contains("holds the interpolation"));
  CHECK_THAT(error_of("a: {x: '${b}'}\nb: {y: '${a}'}\n"), Catch::Contains("hold itself"));
  CHECK_THAT(error_of("a: ${...b}\n"), Catch::Contains("leads above the root"));
  CHECK_THAT(error_of("a: ${b.c}\nb: 1\n"), Catch::Contains("'b' is no map or list and cannot hold 'c'"));
  CHECK_THAT(error_of("a: ${oc.evn:X}\n"), Catch::Contains("there is no resolver 'oc.evn'; did you mean 'oc.env'?"));
  CHECK_THAT(error_of("a: ${oc.env:MNEME_SURELY_NOT_SET}\n"), Catch::Contains("MNEME_SURELY_NOT_SET' is not set"));
  CHECK_THAT(error_of("a: ${oc.env:A,B,C}\n"), Catch::Contains("takes 1 or 2 arguments, found 3"));
  CHECK_THAT(error_of("a: '${b'\n"), Catch::Contains("'}' is missing"));
}

TEST_CASE("all missing values are listed at once", "[config][interpolation][D15]") {
  const std::string error = error_of(
      "a: ???\nb: {c: '??"
      "?', d: 1}\ne: ${a}\n");
  CHECK_THAT(error, Catch::Contains("\n  a\n  b.c\n  e ('a' is still ??"
                                    "?)"));
  ResolveOptions options;
  options.allow_missing = true;
  CHECK(dump_yaml(resolve(parse_yaml("a: ???\n", "f"), options)) == "a: ???\n");
}

TEST_CASE("interpolations that multiply are stopped", "[config][interpolation]") {
  std::string text = "a0: {x: 1, y: 2}\n";
  for (int i = 1; i < 40; ++i)
    text += "a" + std::to_string(i) + ": {x: '${a" + std::to_string(i - 1) + "}', y: '${a" + std::to_string(i - 1) +
            "}'}\n";
  CHECK_THAT(error_of(text), Catch::Contains("once interpolations are resolved"));
  std::string chain = "a0: 1\n";
  for (int i = 1; i < 400; ++i) chain += "a" + std::to_string(i) + ": ${a" + std::to_string(i - 1) + "}\n";
  CHECK_THAT(error_of(chain), Catch::Contains("lead one to another"));
  std::string nested = "a: \"";
  for (int i = 0; i < 500; ++i) nested += "${b.";
  CHECK_THAT(error_of(nested + "\"\n"), Catch::Contains("levels of nesting"));
}

TEST_CASE("the resolvers", "[config][interpolation]") {
  ::setenv("MNEME_TEST_VARIABLE", "7", 1);
  CHECK(resolved("a: ${oc.env:MNEME_TEST_VARIABLE}\n") == "a: '7'\n");
  CHECK(resolved("a: '${oc.decode:${oc.env:MNEME_TEST_VARIABLE}}'\n") == "a: 7\n");
  CHECK(resolved("a: '${oc.select:b.c,[1]}'\n") == "a:\n- 1\n");
  CHECK(resolved("a: '${oc.dict.keys:b}'\nc: '${oc.dict.values:b}'\nb: {x: '${d}', y: 2}\nd: 3\n") ==
        "a:\n- x\n- 'y'\nc:\n- 3\n- 2\nb:\n  x: 3\n  'y': 2\nd: 3\n");
  CHECK(resolved("a: ${now:%Y}\n").size() == std::string("a: '2000'\n").size());
  std::vector<std::string> warnings;
  ResolveOptions options;
  options.warnings = &warnings;
  CHECK(dump_yaml(resolve(parse_yaml("a: '${oc.deprecated:b,\"use $NEW_KEY\"}'\nb: 1\n", "f"), options)) ==
        "a: 1\nb: 1\n");
  CHECK(warnings == std::vector<std::string>{"use b"});
  const Node hydra = parse_yaml("job: {name: n}\n", "h");
  options.hydra = &hydra;
  CHECK(dump_yaml(resolve(parse_yaml("a: ${hydra:job.name}\n", "f"), options)) == "a: 'n'\n");
}

TEST_CASE("keys are split at dots and brackets", "[config][interpolation]") {
  CHECK(split_key("a.b[c].0") == std::vector<std::string>{"a", "b", "c", "0"});
  CHECK(split_key(".a") == std::vector<std::string>{"", "a"});
  CHECK(split_key("[a].b") == std::vector<std::string>{"a", "b"});
}
