#include "core/record/h5/h5.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/record/utf8.h"
#include "tests/core/record/sample_run.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::record;
using Catch::Contains;
using test::TemporaryDirectory;

TEST_CASE("what is no HDF5 file is refused with file and reason, and nothing is printed by HDF5", "[h5]") {
  CHECK_THROWS_AS(h5::File::from_image("text.h5", "not an HDF5 file"), RecordError);
  CHECK_THROWS_WITH(h5::File::from_image("text.h5", "not an HDF5 file"), Contains("text.h5") && Contains("signature"));
}

TEST_CASE("two files in memory are two, whatever they are called", "[h5]") {
  h5::File first = h5::File::create_in_memory("same");
  first.set_attribute("/", "who", "first");
  h5::File second = h5::File::from_image("same", first.image());
  second.set_attribute("/", "who", "second");
  CHECK(first.attribute_text("/", "who") == "first");
}

TEST_CASE("a table is found again by column name, whatever its order and surplus", "[h5]") {
  constexpr std::array<h5::Column, 3> written{
      {{"text", h5::ColumnType::kText}, {"surplus", h5::ColumnType::kReal}, {"number", h5::ColumnType::kInt}}};
  constexpr std::array<h5::Column, 2> wanted{{{"number", h5::ColumnType::kInt}, {"text", h5::ColumnType::kText}}};
  h5::File file = h5::File::create_in_memory("memory");
  file.create_table("/a/b", written, 4);
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::string text(static_cast<std::size_t>(i), 'x');
    const std::array<h5::Cell, 6> cells{
        {{.text = text.c_str()}, {.real = 0.5}, {.integer = i}, {.text = "é"}, {.real = 0.5}, {.integer = -i}}};
    file.append_rows("/a/b", written, cells);
  }
  const h5::Rows rows = file.read_rows("/a/b", wanted);
  REQUIRE(rows.size() == 10);
  CHECK(rows.integer(6, 0) == 3);
  CHECK(rows.text(6, 1) == "xxx");
  CHECK(rows.integer(9, 0) == -4);
  CHECK(rows.text(9, 1) == "é");
  CHECK(file.read_rows("/a/b", wanted, 4, 2).integer(0, 0) == 2);

  file.truncate_table("/a/b", 3);
  CHECK(file.row_count("/a/b") == 3);
  constexpr std::array<h5::Column, 1> missing{{{"name", h5::ColumnType::kText}}};
  CHECK_THROWS_WITH(file.read_rows("/a/b", missing), Contains("no column 'name'") && Contains("text, surplus, number"));
  constexpr std::array<h5::Column, 1> other_type{{{"text", h5::ColumnType::kInt}}};
  CHECK_THROWS_WITH(file.read_rows("/a/b", other_type), Contains("column 'text' is of type text"));
  CHECK_THROWS_WITH(file.read_rows("/a/c", missing), Contains("/a/c"));
}

TEST_CASE("arrays keep shape and values, and are replaced", "[h5]") {
  h5::File file = h5::File::create_in_memory("memory");
  const std::vector<double> values{1, 2, std::nan(""), 4, 5, 6};
  file.write_array("/analysis/x/y", {2, 3}, values);
  Array array = file.read_array("/analysis/x/y");
  CHECK(array.shape == std::vector<std::int64_t>{2, 3});
  CHECK(array.values[5] == 6);
  CHECK(std::isnan(array.values[2]));
  file.write_array("/analysis/x/y", {2}, std::vector<double>{8, 9});
  CHECK(file.read_array("/analysis/x/y").values == std::vector<double>{8, 9});
  file.write_array("/analysis/scalar", {}, std::vector<double>{3});
  CHECK(file.read_array("/analysis/scalar").shape.empty());
  CHECK(file.list_datasets("/analysis") == std::vector<std::string>{"scalar", "x/y"});
  CHECK(file.list_datasets("/none").empty());
}

TEST_CASE("attributes and texts are replaced", "[h5]") {
  h5::File file = h5::File::create_in_memory("memory");
  file.set_attribute("/", "status", "running");
  file.set_attribute("/", "status", "done");
  file.set_attribute("/", "version", std::int64_t{1});
  CHECK(file.attribute_text("/", "status") == "done");
  CHECK(file.attribute_integer("/", "version") == 1);
  CHECK(file.attributes("/") == std::vector<std::string>{"status", "version"});
  CHECK_THROWS_WITH(file.attribute_text("/", "error"), Contains("attribute 'error' of /"));
  file.write_text("/config/resolved", "a: 1\n");
  file.write_text("/config/resolved", "a: 2\nb: é\n");
  CHECK(file.read_text("/config/resolved") == "a: 2\nb: é\n");
}

TEST_CASE("texts become what every reader can decode", "[utf8]") {
  const std::string replacement = "\xEF\xBF\xBD";
  CHECK(storable_utf8("plain é 語 😀") == "plain é 語 😀");
  CHECK(storable_utf8(std::string_view("a\0b", 3)) == "a" + replacement + "b");
  CHECK(storable_utf8("\xC3") == replacement);
  CHECK(storable_utf8("\xC0\xAF") == replacement + replacement);                    // overlong
  CHECK(storable_utf8("\xED\xA0\x80") == replacement + replacement + replacement);  // surrogate
  CHECK(storable_utf8("\xF4\x90\x80\x80").size() == 12);                            // above U+10FFFF
  CHECK(storable_utf8("\xFF"
                      "a") == replacement + "a");
}
