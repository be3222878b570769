#include "core/config/node.h"

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/config/python_text.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

TEST_CASE("a node gives its value by type and says what it is otherwise", "[config][node]") {
  const Node root = parse_yaml("a: 1\nb: {c: x}\n", "f.yaml");
  CHECK(root.at("a").as_int() == 1);
  CHECK(root.at("a").as_float() == 1.0);
  CHECK(root.at("b").at("c").as_string() == "x");
  CHECK_THROWS_WITH(root.at("a").as_string(), "f.yaml:1:4: expected a string, found int 1");
  CHECK_THROWS_WITH(root.at("b").as_bool(), "f.yaml:2:4: expected true or false, found map {'c': 'x'}");
  CHECK_THROWS_WITH(root.at("b").at("d"), Catch::Contains("key 'd' is missing") && Catch::Contains("'c'"));
  CHECK_THROWS_AS(root.items(), ConfigError);
  CHECK(root.find("zzz") == nullptr);
}

TEST_CASE("maps keep the order of keys and tell 1 from '1'", "[config][node]") {
  Node map = Node::map();
  map.set("b", Node::integer(1));
  map.set("a", Node::integer(2));
  map.set("b", Node::integer(3));
  CHECK(map.keys() == std::vector<std::string>{"b", "a"});
  map.set_typed(Kind::kInt, "1", Node::string("number"));
  map.set("1", Node::string("text"));
  CHECK(map.find("1")->as_string() == "text");
  CHECK(map.find_typed(Kind::kInt, "1")->as_string() == "number");
  CHECK(map.find_typed(Kind::kBool, "true")->as_string() == "number");  // as in Python
  CHECK(map.find_typed(Kind::kFloat, "1.0")->as_string() == "number");
  CHECK(map.erase("1"));
  CHECK(map.find("1")->as_string() == "number");
  CHECK_FALSE(map.erase("nope"));
  CHECK(map.key_kind(2) == Kind::kInt);
}

TEST_CASE("whole numbers beyond 64 bits keep their digits", "[config][node]") {
  const Node big = parse_yaml("k: 123456789012345678901234567890\n", "f").at("k");
  CHECK(big.is_int());
  CHECK(big.int_digits() == "123456789012345678901234567890");
  CHECK(big.as_float() == Approx(1.2345678901234568e29));
  CHECK_THROWS_WITH(big.as_int(), Catch::Contains("64 bits"));
  CHECK(parse_yaml("k: 0xffffffffffffffffff\n", "f").at("k").int_digits() == "4722366482869645213695");
}

TEST_CASE("floats are written as Python writes them", "[config][python]") {
  const std::pair<double, const char*> expected[] = {{0.1, "0.1"},
                                                     {1.0, "1.0"},
                                                     {1e-4, "0.0001"},
                                                     {1e-5, "1e-05"},
                                                     {1e15, "1000000000000000.0"},
                                                     {1e16, "1e+16"},
                                                     {1.5e16, "1.5e+16"},
                                                     {-2.5, "-2.5"},
                                                     {123456.789, "123456.789"},
                                                     {1e100, "1e+100"},
                                                     {5e-324, "5e-324"},
                                                     {-0.0, "-0.0"},
                                                     {1.2345e-7, "1.2345e-07"}};
  for (const auto& [value, text] : expected) CHECK(python_float_text(value) == text);
  CHECK(python_float_text(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(python_float_text(std::nan("")) == "nan");
}

TEST_CASE("texts are read as Python's int() and float() read them", "[config][python]") {
  CHECK(parse_python_int(" 1_000 ") == "1000");
  CHECK(parse_python_int("-007") == "-7");
  CHECK_FALSE(parse_python_int("1__0"));
  CHECK_FALSE(parse_python_int("1.0"));
  CHECK_FALSE(parse_python_int(""));
  CHECK_FALSE(parse_python_int(std::string(5000, '1')));
  CHECK(parse_python_float("1_0.5") == 10.5);
  CHECK(parse_python_float("-Infinity") == -std::numeric_limits<double>::infinity());
  CHECK(parse_python_float("1e400") == std::numeric_limits<double>::infinity());
  CHECK_FALSE(parse_python_float("1e"));
  CHECK_FALSE(parse_python_float("0x10"));
  CHECK(python_repr(std::string_view("it's")) == "\"it's\"");
  CHECK(python_repr(std::string_view("a\n\\'\"")) == "'a\\n\\\\\\'\"'");
  CHECK(python_text(parse_yaml("{a: [1, true, null, x], 2: y}", "f")) == "{'a': [1, True, None, 'x'], 2: 'y'}");
}

TEST_CASE("a long value is cut in messages, not inside of a character", "[config][node]") {
  std::string text(78, 'a');
  for (int i = 0; i < 5; ++i) text += "é";
  const std::string shown = describe(Node::string(text));
  CHECK(shown.size() < 90);
  CHECK_THAT(shown, Catch::EndsWith("…"));
  CHECK(shown.find("\xc3…") == std::string::npos);
}
