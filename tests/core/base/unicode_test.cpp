#include "core/base/unicode.h"

#include "tests/support/catch.h"

using namespace mneme;

TEST_CASE("valid UTF-8 of every length is taken, everything else is located", "[unicode]") {
  CHECK_FALSE(find_invalid_utf8("").has_value());
  CHECK_FALSE(find_invalid_utf8("a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80").has_value());
  CHECK(find_invalid_utf8("ab\xFFz") == 2);
  CHECK(find_invalid_utf8("\xC0\xAF") == 0);          // overlong
  CHECK(find_invalid_utf8("a\xE0\x80\x80") == 1);     // overlong
  CHECK(find_invalid_utf8("\xED\xA0\x80") == 0);      // surrogate
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0);  // above U+10FFFF
  CHECK(find_invalid_utf8("ab\xE4\xB8") == 2);        // torn
  CHECK(find_invalid_utf8("\x80") == 0);
}

TEST_CASE("decoding and encoding are inverse; wrong bytes become U+FFFD one by one", "[unicode]") {
  const std::string text = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80";
  CHECK(decode_utf8(text) == U"a\u00E9\u4E2D\U0001F600");
  CHECK(encode_utf8(decode_utf8(text)) == text);
  CHECK(decode_utf8("a\xE4\xB8z") == U"a\uFFFD\uFFFDz");
}

TEST_CASE("strip and split know Python's white space", "[unicode]") {
  CHECK(strip(" \t\u00A0\u3000x y\u2003\n") == "x y");
  CHECK(strip(" \n") == "");
  CHECK(strip("") == "");
  CHECK(split_whitespace("\u3000a\u2028b  c\x1F") == std::vector<std::string>{"a", "b", "c"});
  CHECK(split_whitespace(" ").empty());
  CHECK(is_space(U'\u0085'));
  CHECK_FALSE(is_space(U'\u200B'));
}

TEST_CASE("lower case reaches beyond ASCII", "[unicode]") {
  CHECK(to_lower("ABC xyz 1") == "abc xyz 1");
  CHECK(to_lower("ÄÖÜ ẞ ΑΩ ДЯ") == "äöü ß αω дя");
  CHECK(to_lower("\u0130\u212A") == "i\u0307k");
  CHECK(to_lower("中文 é") == "中文 é");
  CHECK(to_lower("A\xFF") == "a\uFFFD");
}

TEST_CASE("words of scripts with and without blanks", "[unicode]") {
  using Words = std::vector<std::string>;
  CHECK(unicode_words("Die Größe, 3.5 m!") == Words{"Die", "Größe", "3", "5", "m"});
  CHECK(unicode_words("我爱C++和東京tower") == Words{"我", "爱", "C", "和", "東", "京", "tower"});
  CHECK(unicode_words("cafe\u0301 e") == Words{"cafe\u0301", "e"});
  CHECK(unicode_words("…!").empty());
  CHECK(unicode_words("").empty());
}
