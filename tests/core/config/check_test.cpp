#include "core/config/check.h"

#include "core/base/error.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
const ParamSpecs kSpecs = {
    {"lambda", ParamType::kReal, "1e2", "> 0", "strength", false},
    {"samples", ParamType::kInt, "???", "[1, 100]", "how many", false},
    {"mode", ParamType::kChoice, "diag", "diag|full", "which Fisher", false},
    {"clip", ParamType::kReal, "null", ">= 0", "largest norm", true},
    {"buffer.size", ParamType::kInt, "500", ">= 0", "items kept", false},
    {"targets", ParamType::kTextList, "[q, v]", "", "modules", false},
    {"betas", ParamType::kRealList, "[0.9, 1]", "[0, 1]", "decays", false},
    {"on", ParamType::kBool, "true", "", "switch", false},
    {"note", ParamType::kText, "", "", "text", false},
};

std::string error_of(const std::string& text) {
  try {
    check(parse_yaml(text, "f.yaml"), kSpecs, "strategy");
  } catch (const ConfigError& e) {
    return e.message();
  }
  return "no error";
}
}  // namespace

TEST_CASE("a checked map has every setting, in order, with defaults and types", "[config][check]") {
  const Node map = check(parse_yaml("samples: 3\nlambda: 2\nbuffer: {size: 7}\n", "f.yaml"), kSpecs, "strategy");
  CHECK(dump_yaml(map) ==
        "lambda: 2.0\nsamples: 3\nmode: diag\nclip: null\nbuffer:\n  size: 7\ntargets:\n- q\n- v\nbetas:\n- 0.9\n- "
        "1.0\n'on': true\nnote: ''\n");
}

TEST_CASE("a check says what is wrong and where", "[config][check]") {
  CHECK_THAT(error_of("samples: 3\nlamda: 1\n"),
             Catch::Equals("f.yaml:2:8: strategy.lamda: there is no such setting; did you mean 'lambda'?"));
  CHECK_THAT(error_of("samples: 3\nbuffer: {sise: 1}\n"),
             Catch::Contains("strategy.buffer.sise: there is no such setting"));
  CHECK_THAT(error_of("lambda: 1\n"), Catch::Contains("strategy.samples: the value is missing: how many"));
  CHECK_THAT(error_of("samples: ???\n"), Catch::Contains("strategy.samples: the value is ???"));
  CHECK_THAT(error_of("samples: 0\n"),
             Catch::Contains("f.yaml:1:10: strategy.samples: expected a value in [1, 100], found 0"));
  CHECK_THAT(error_of("samples: 1.5\n"), Catch::Contains("expected a whole number, found float 1.5"));
  CHECK_THAT(error_of("samples: 1\nlambda: 0\n"), Catch::Contains("expected a value > 0, found 0"));
  CHECK_THAT(error_of("samples: 1\nmode: ful\n"),
             Catch::Contains("expected one of diag, full, found 'ful'; did you mean 'full'?"));
  CHECK_THAT(error_of("samples: 1\nlambda: null\n"), Catch::Contains("expected a number, found null"));
  CHECK_THAT(error_of("samples: 1\ntargets: [1]\n"), Catch::Contains("expected text, found int 1"));
  CHECK_THAT(error_of("samples: 1\nbetas: [2]\n"), Catch::Contains("in [0, 1]"));
  CHECK_THAT(error_of("samples: 1\n'on': 1\n"), Catch::Contains("expected true or false"));
  CHECK_THAT(error_of("[1]"), Catch::Contains("expected a map"));
  CHECK_THAT(error_of("samples: 1\n"), Catch::Equals("no error"));
}
