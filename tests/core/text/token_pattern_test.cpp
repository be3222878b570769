#include "core/text/token_pattern.h"

#include "core/base/error.h"
#include "core/text/unicode_data.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::text;
using Catch::Contains;

namespace {
using Parts = std::vector<std::string>;

Parts matches(const TokenPattern& pattern, const std::string& text) {
  Parts found;
  pattern.for_each(text, [&](std::size_t begin, std::size_t end) { found.push_back(text.substr(begin, end - begin)); });
  return found;
}

Parts matches(const std::string& pattern, const std::string& text) {
  return matches(TokenPattern::regex(pattern, "p"), text);
}

std::string normalized(NormalForm form, std::string text) {
  std::size_t front = 0;
  UnicodeNormalizer(form).apply(text, front);
  return text;
}
}  // namespace

// The expected parts are those of Oniguruma by its documentation, and of the tokenizers library, asked by hand.
TEST_CASE("patterns mean what Oniguruma means by them", "[pattern]") {
  CHECK(matches("^a", "ba\na") == Parts{"a"});  // a line's start, not only the text's
  CHECK(matches("a$", "a\nba") == Parts{"a", "a"});
  CHECK(matches("\\s+", "a\u0085\u00a0b\u180ec") == Parts{"\u0085\u00a0"});
  CHECK(matches("[^\\s\\p{L}]+", "a\u0085-\u0085b") == Parts{"-"});
  CHECK(matches("\\p{L}+", "a\U00010d50\u1c89 1") == Parts{"a\U00010d50\u1c89"});  // letters of Unicode 16
  CHECK(matches("\\p{^L}", "a1") == Parts{"1"});
  CHECK(matches("[\\p{Han}\\p{Hiragana}]+", "a\u4e2d\u3042\u30a2\u3007\U000323af") ==
        Parts{"\u4e2d\u3042", "\u3007\U000323af"});
  CHECK(matches("\\P{L}+", "a\U00010d501") == Parts{"1"});
  CHECK(matches("\\v", "a\x0b\n") == Parts{"\x0b"});
  CHECK(matches("\\w+", "e\u0301 x_\u0661") == Parts{"e\u0301", "x_\u0661"});
  CHECK(matches("(?i:'s|'k)", "'S'\u017f'\u212a") == Parts{"'S", "'\u017f", "'\u212a"});
  CHECK(matches("\\s+(?!\\S)|\\s+", "a  b ") == Parts{" ", " ", " "});
  CHECK(matches("\\p{N}{1,3}", "12345") == Parts{"123", "45"});
  CHECK(matches("a{,2}b", "aaab") == Parts{"aab"});
  CHECK(matches("\\x{e9}\\u00e8\\x41", "\u00e9\u00e8A") == Parts{"\u00e9\u00e8A"});
  CHECK(matches("a*", "baac") == Parts{"", "aa", ""});
  CHECK(matches(TokenPattern::literal("aa"), "aaaaa") == Parts{"aa", "aa"});
  CHECK(matches(TokenPattern::graphemes(), "\u00a0\u0cf3\u0301\n\u0cf3") ==  // a mark of Unicode 15
        Parts{"\u00a0\u0cf3\u0301", "\n", "\u0cf3"});
  CHECK(matches(TokenPattern::graphemes(), "e\u0301\r\n\U0001f1e9\U0001f1eax") ==
        Parts{"e\u0301", "\r\n", "\U0001f1e9\U0001f1ea", "x"});
}

TEST_CASE("what has no sure translation is refused by name", "[pattern]") {
  const auto refuse = [](const std::string& pattern, const std::string& message) {
    INFO(pattern);
    CHECK_THROWS_WITH(TokenPattern::regex(pattern, "file: pattern"),
                      Contains("file: pattern: the pattern") && Contains(message));
  };
  refuse("\\h", "'\\h', which is not supported");
  refuse("a{1,2}+", "a + or ? behind a '{n}'");
  refuse("[a[bc]]", "a '[' within a class");
  refuse("[a&&b]", "'&&'");
  refuse("[\\P{L}]", "a negated property within a class");
  refuse("\\p{Klingon}", "the property 'Klingon'");
  refuse("(?m:.)", "'(?m:'");
  refuse("(a)\\1", "'\\1'");
  refuse("a\\", "a '\\' at its end");
  refuse("[a", "a '[' without its ']'");
  refuse("(*FAIL)", "'(*'");
  refuse("*", "does not compile");
  refuse("a\xff", "does not compile: UTF-8 error");
}

TEST_CASE("matching that explodes ends with an error", "[pattern]") {
  CHECK_THROWS_AS(matches("(?:a+a+)+[bc]", std::string(60, 'a')), DataError);
}

// Values of UAX #15 and of Python's unicodedata.
TEST_CASE("texts are brought into the normal forms of Unicode", "[unicode]") {
  CHECK(normalized(NormalForm::kNfc, "A\u030a e\u0301\u0323 \u212b") == "\u00c5 \u1eb9\u0301 \u00c5");
  CHECK(normalized(NormalForm::kNfd, "\u00c5\u1e69\uac01") == "A\u030as\u0323\u0307\u1100\u1161\u11a8");
  CHECK(normalized(NormalForm::kNfc, "\u1100\u1161\u11a8 \uac00\u11a8") == "\uac01 \uac01");
  CHECK(normalized(NormalForm::kNfkc, "\ufb01 \u2460 \uff21 \u00bd \u00b2") == "fi 1 A 1\u20442 2");
  CHECK(normalized(NormalForm::kNfkd, "\ufb01\u00e9") == "fie\u0301");
  CHECK(normalized(NormalForm::kNfc, "\u0958 \u2126") ==
        "\u0915\u093c \u03a9");  // excluded from composition; a singleton
  CHECK(normalized(NormalForm::kNfc, "plain \u4e2d\u6587 \u00e9") == "plain \u4e2d\u6587 \u00e9");
  CHECK(lower_case("\u00c4\u0130\u1e9eI\u03a3") == "\u00e4i\u0307\u00dfi\u03c3");
}
