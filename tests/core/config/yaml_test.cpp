#include "core/config/yaml.h"

#include "core/base/error.h"
#include "core/base/random.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
std::string error_of(const std::string& text) {
  try {
    parse_yaml(text, "f.yaml");
  } catch (const ConfigError& e) {
    return e.message();
  }
  return "no error";
}
}  // namespace

TEST_CASE("every node knows where it stands", "[config][yaml]") {
  const Node root = parse_yaml("a: 1\nb:\n  - x\n  - {c: 'd'}\nempty:\n", "dir/f.yaml");
  CHECK(to_string(root.at("a").position()) == "dir/f.yaml:1:4");
  CHECK(to_string(root.at("b").items()[0].position()) == "dir/f.yaml:3:5");
  CHECK(to_string(root.at("b").items()[1].at("c").position()) == "dir/f.yaml:4:9");
  CHECK(to_string(root.at("empty").position()) == "dir/f.yaml:5:1");
}

TEST_CASE("errors in YAML name file, line and column", "[config][yaml]") {
  CHECK_THAT(error_of("a: 1\na: 2\n"), Catch::StartsWith("f.yaml:2:1: the key 'a' is given twice"));
  CHECK_THAT(error_of("a:\t1\n"), Catch::StartsWith("f.yaml:1:3: a tab stands between tokens"));
  CHECK_THAT(error_of("a: [1, 2\n"), Catch::Contains("',' or ']' is expected"));
  CHECK_THAT(error_of("a: b: c\n"), Catch::StartsWith("f.yaml:1:5: ': ' cannot stand here"));
  CHECK_THAT(error_of("a: 'x\n"), Catch::StartsWith("f.yaml:1:4: the quote is not closed"));
  CHECK_THAT(error_of("a: @x\n"), Catch::StartsWith("f.yaml:1:4: '@' cannot start a value"));
  CHECK_THAT(error_of("a: 1\n---\nb: 2\n"), Catch::StartsWith("f.yaml:2:1: a second YAML document"));
  CHECK_THAT(error_of("a: *x\n"), Catch::StartsWith("f.yaml:1:4: there is no anchor 'x'"));
  CHECK_THAT(error_of("a: &x [*x]\n"), Catch::Contains("cannot hold itself"));
  CHECK_THAT(error_of("~: 1\n"), Catch::StartsWith("f.yaml:1:1: null cannot be a key"));
  CHECK_THAT(error_of("[a]: 1\n"), Catch::StartsWith("f.yaml:1:1: a list or map cannot be a key"));
  CHECK_THAT(error_of("a: !!python/object x\n"), Catch::Contains("not supported"));
  CHECK_THAT(error_of("a: \xff\n"), Catch::StartsWith("f.yaml:1:4: the text is no valid UTF-8"));
  CHECK_THAT(error_of("a: \x01\n"), Catch::StartsWith("f.yaml:1:4: the character U+0001"));
  CHECK_THAT(error_of("a: 1\n b: 2\n"), Catch::StartsWith("f.yaml:2:"));
  CHECK_THAT(error_of("a: 0x_\n"), Catch::StartsWith("f.yaml:1:4: '0x_' is no whole number"));
}

TEST_CASE("deep and self-multiplying documents are refused", "[config][yaml]") {
  CHECK_THAT(error_of(std::string(100000, '[')), Catch::Contains("levels of nesting"));
  std::string block;
  for (int i = 0; i < 300; ++i) block += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  CHECK_THAT(error_of(block), Catch::Contains("levels of nesting"));
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 40; ++i)
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + ", *a" +
            std::to_string(i - 1) + "]\n";
  CHECK_THAT(error_of(bomb), Catch::Contains("once aliases are expanded"));
}

TEST_CASE("surprising numbers draw a warning", "[config][yaml]") {
  std::vector<std::string> warnings;
  parse_yaml("a: 010\nb: 12:30\nc: 10\nd: '010'\ne: 0x10\n", "f.yaml", &warnings);
  REQUIRE(warnings.size() == 2);
  CHECK_THAT(warnings[0], Catch::StartsWith("f.yaml:1:4: YAML 1.1 reads 010 as the number 8"));
  CHECK_THAT(warnings[1], Catch::StartsWith("f.yaml:2:4: YAML 1.1 reads 12:30 as the number 750"));
}

TEST_CASE("merge keys put the merged pairs first and let own ones win", "[config][yaml]") {
  const Node root = parse_yaml("a: &a {p: 1, q: 2}\nb:\n  q: 3\n  <<: *a\n  r: 4\n", "f");
  CHECK(dump_yaml(root.at("b")) == "p: 1\nq: 3\nr: 4\n");
  const Node list = parse_yaml("a: &a {p: 1}\nb: &b {p: 2, s: 3}\nc: {<<: [*a, *b]}\n", "f");
  CHECK(dump_yaml(list.at("c")) == "p: 1\ns: 3\n");
}

// Not with U+0085 and U+2028, which PyYAML's dumper itself does not bring back.
TEST_CASE("what is dumped reads back as it was", "[config][yaml]") {
  RandomStream random(11, "yaml");
  const std::vector<std::string> pieces = {"a",
                                           "1",
                                           " ",
                                           "'",
                                           "\"",
                                           "\\",
                                           "\n",
                                           ":",
                                           "#",
                                           "-",
                                           "é",
                                           "\t",
                                           "yes",
                                           "1e5",
                                           ".",
                                           "0x1",
                                           "~",
                                           "{",
                                           "[",
                                           "&",
                                           "*",
                                           "!",
                                           "|",

                                           "\xf0\x9f\x98\x80",
                                           "\xef\xbb\xbf",
                                           "\a",
                                           "=",
                                           "<<"};
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (std::uint64_t k = random.below(6); k > 0; --k) text += pieces[random.below(pieces.size())];
    if (random.below(20) == 0)
      for (int k = 0; k < 30; ++k) text += (k % 3 ? "word" : " ") + pieces[random.below(6)];
    Node root = Node::map();
    root.set("k", Node::string(text));
    root.set(text, Node::list({Node::string(text), Node::real(static_cast<double>(random.below(1000)) / 7)}));
    INFO(dump_yaml(root));
    CHECK(parse_yaml(dump_yaml(root), "f") == root);
  }
}
