#include "core/config/override.h"

#include <chrono>

#include "core/base/error.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
std::string error_of(const std::string& text) {
  try {
    parse_override(text);
  } catch (const ConfigError& e) {
    return e.message();
  }
  return "no error";
}
std::vector<std::string> expanded(const std::string& text) {
  std::vector<std::string> texts;
  for (const Element& value : sweep_values(parse_override(text).sweep)) texts.push_back(element_text(value));
  return texts;
}
}  // namespace

TEST_CASE("operators, keys and packages", "[config][override]") {
  CHECK(parse_override("++a.b=1").type == OverrideType::kForceAdd);
  CHECK(parse_override("~a").value_type == ValueType::kNone);
  const Override group = parse_override("+db/x@train.db=my");
  CHECK(group.key == "db/x");
  CHECK(group.package == "train.db");
  CHECK(group.key_element() == "+db/x@train.db");
  CHECK(parse_override("a=").value.scalar.as_string().empty());
}

TEST_CASE("an error shows the column with a caret and the quoted form to paste", "[config][override][D6]") {
  CHECK(
      error_of("a=x#y") ==
      "<command line>:1:4: unexpected character '#'\n  a=x#y\n     ^\nTo use the value as text, quote it: 'a=\"x#y\"'");
  CHECK_THAT(error_of("notes=it's"),
             Catch::Contains("the quote ' is not closed") && Catch::Contains("'notes=\"it'\\''s\"'"));
  CHECK_THAT(error_of("a=\xc3\xa9t\xc3\xa9"), Catch::Contains("unexpected character 'é'\n  a=été\n    ^"));
  CHECK_THAT(error_of("a b=1"),
             Catch::StartsWith("<command line>:1:2: unexpected character ' '") && !Catch::Contains("quote it"));
  CHECK_THAT(error_of("a"), Catch::Contains("'=' is missing"));
  CHECK_THAT(error_of("a=[1,]"), Catch::StartsWith("<command line>:1:6: expected a value, found ']'"));
  CHECK_THAT(error_of("a={\"k\":1}"), Catch::Contains("the key of a map cannot be quoted"));
  CHECK_THAT(error_of("a=chioce(1)"),
             Catch::Contains("there is no function 'chioce' in overrides; did you mean 'choice'?"));
  CHECK_THAT(error_of("a=range(1,x)"), Catch::Contains("range(): takes a number as 'stop', found 'x'"));
  CHECK_THAT(error_of("a=sort(1,reverze=true)"),
             Catch::Contains("has no parameter 'reverze'; did you mean 'reverse'?"));
  CHECK_THAT(error_of("a=str(null)"), Catch::Contains("str(): None cannot be cast"));
  CHECK_THAT(error_of("a=\xff"), Catch::Contains("no valid UTF-8"));
}

TEST_CASE("the quoted form parses to the very text", "[config][override][D6]") {
  for (const std::string value : {"x#y", "it's", "~/data", "a;b", "q\"q#", "\\\"#", "é\\'", "(x)", "$(ls)"}) {
    const std::string error = error_of("a=" + value);
    INFO(error);
    const std::string mark = "quote it: ";
    REQUIRE(error.find(mark) != std::string::npos);
    std::string form = error.substr(error.find(mark) + mark.size());
    if (form[0] == '\'') {  // undo the shell's quoting
      form = form.substr(1, form.size() - 2);
      for (auto at = form.find("'\\''"); at != form.npos; at = form.find("'\\''", at + 1)) form.replace(at, 4, "'");
    }
    CHECK(parse_override(form).value.scalar.as_string() == value);
  }
}

TEST_CASE("swept values keep quotes and use Python's words", "[config][override]") {
  CHECK(expanded("a=\"1,2\",null,true,1e-5,x y") ==
        std::vector<std::string>{"\"1,2\"", "null", "True", "1e-05", "x\\ y"});
  CHECK(expanded("a=sort(range(1,4),reverse=true)") == std::vector<std::string>{"3", "2", "1"});
  CHECK(expanded("a=range(99999999999999999999,100000000000000000001)") ==
        std::vector<std::string>{"99999999999999999999", "100000000000000000000"});
}

TEST_CASE("a job's text parses to the same value again", "[config][override]") {
  for (const std::string text :
       {"a=[1,\"x,y\",{k: v\\,w, 1.5: null}]", "a='it\\'s \\\\'", "a=x\\=y\\\\", "a=${b}", "a=inf", "a=-0.0", "a=[]"}) {
    const Override first = parse_override(text);
    const Override second = parse_override("a=" + element_text(first.value));
    INFO(element_text(first.value));
    CHECK(dump_yaml(to_node(first.value)) == dump_yaml(to_node(second.value)));
  }
}

TEST_CASE("glob patterns", "[config][override]") {
  const std::vector<std::string> names = {"llama", "llava", "t5", "t5_base", "[x]"};
  const auto matched = [&](const std::string& text) { return glob_names(parse_override(text).sweep, names); };
  CHECK(matched("m=glob(ll*)") == std::vector<std::string>{"llama", "llava"});
  CHECK(matched("m=glob([t5*,ll*],exclude=*a)") == std::vector<std::string>{"t5", "t5_base"});
  CHECK(matched("m=glob(ll?va)") == std::vector<std::string>{"llava"});
  CHECK(matched("m=glob('ll[!m]*')").empty() == false);
  CHECK(matched("m=glob('lla[a-m]a')") == std::vector<std::string>{"llama"});
  CHECK(matched("m=glob('[[]x]')") == std::vector<std::string>{"[x]"});
}

TEST_CASE("a megabyte, deep nesting and control characters give errors, quickly", "[config][override]") {
  const auto start = std::chrono::steady_clock::now();
  const std::string big(1 << 20, 'x');
  CHECK(parse_override("a=" + big).value.scalar.as_string() == big);
  CHECK(parse_override("a='" + big + "'").value.scalar.as_string().size() == big.size());
  CHECK_THAT(error_of("a=" + big + "#"), Catch::Contains("unexpected character '#'"));
  CHECK(error_of("a=" + big + "#").size() < 500);
  std::string opened;
  for (int i = 0; i < 1 << 19; ++i) opened += "${";
  CHECK_THAT(error_of("a=" + opened), Catch::Contains("<command line>:1:"));
  CHECK_THAT(error_of("a=" + std::string(1 << 20, '[')), Catch::Contains("levels of nesting"));
  CHECK_THAT(error_of("a=" + std::string(1 << 20, '\\')), Catch::Equals("no error"));
  CHECK_THAT(error_of("a=" + std::string(6000, '9')), Catch::Contains("4300 digits"));
  CHECK_THAT(error_of(std::string("a=\0", 3)), Catch::Contains("U+0000"));
  CHECK_THAT(error_of("a=\x1b"), Catch::Contains("U+001B"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}
