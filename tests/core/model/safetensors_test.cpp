#include "core/model/safetensors.h"

#include <ATen/ATen.h>

#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::model;
namespace fs = std::filesystem;

namespace {

/// A file of the format with the given header text and so many bytes of data.
std::string image(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + std::string(data, '\1');
}

std::string error_of(const std::string& bytes) {
  const mneme::test::TemporaryDirectory directory;
  const fs::path file = directory / "model.safetensors";
  write_file_atomically(file, bytes);
  try {
    read_safetensors(file);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::string error_of_header(const std::string& header, std::size_t data) { return error_of(image(header, data)); }

}  // namespace

TEST_CASE("tensors of every dtype come back as they were written", "[safetensors]") {
  const mneme::test::TemporaryDirectory directory;
  const fs::path file = directory / "model.safetensors";
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                                    at::kChar, at::kByte, at::kBool})
    tensors.emplace_back(c10::toString(type), (at::arange(12, at::kFloat) - 2).abs().view({3, 4}).to(type));
  tensors.emplace_back("scalar", at::full({}, 2.5));
  tensors.emplace_back("empty", at::empty({0, 7}));
  tensors.emplace_back("strided", at::arange(6, at::kFloat).view({2, 3}).t());
  write_safetensors(file, tensors, {{"format", "pt"}, {"note", "ünï\"code"}});
  const auto read = read_safetensors(file);
  CHECK(read.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    REQUIRE(read.contains(name));
    CHECK(read.at(name).scalar_type() == tensor.scalar_type());
    CHECK(at::equal(read.at(name), tensor));
  }
  CHECK(read_safetensors_metadata(file) == std::map<std::string, std::string>{{"format", "pt"}, {"note", "ünï\"code"}});
}

TEST_CASE("the tensors keep the map alive", "[safetensors]") {
  const mneme::test::TemporaryDirectory directory;
  const fs::path file = directory / "model.safetensors";
  write_safetensors(file, {{"a", at::arange(1000, at::kFloat)}});
  at::Tensor a;
  {
    auto all = read_safetensors(file);
    a = all.at("a");
  }
  fs::remove(file);
  CHECK(a.sum().item<float>() == Approx(499500));
}

TEST_CASE("data that is not aligned is copied", "[safetensors]") {
  const std::string header = R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                             R"("a":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}})";
  const mneme::test::TemporaryDirectory directory;
  const fs::path file = directory / "model.safetensors";
  write_file_atomically(file, image(header, 11));
  const auto read = read_safetensors(file);
  CHECK(reinterpret_cast<std::uintptr_t>(read.at("a").const_data_ptr()) % 4 == 0);
  float expected;
  std::memcpy(&expected, "\1\1\1\1", 4);
  CHECK(read.at("a")[1].item<float>() == expected);
}

TEST_CASE("hostile headers are refused with a reason", "[safetensors]") {
  CHECK_THAT(error_of(""), Catch::Contains("0 bytes; a safetensors file has at least 8"));
  CHECK_THAT(error_of("abc"), Catch::Contains("3 bytes"));
  CHECK_THAT(error_of(std::string(8, '\xff')),
             Catch::Contains("the header is said to have 18446744073709551615 bytes"));
  CHECK_THAT(error_of(image("{}", 0).substr(0, 9)), Catch::Contains("damaged, cut off or no safetensors file"));
  CHECK_THAT(error_of_header("not json", 0), Catch::Contains("the header is not JSON"));
  CHECK_THAT(error_of_header("[]", 0), Catch::Contains("the header is not a JSON object"));
  CHECK_THAT(error_of_header(R"({"a":1})", 0), Catch::Contains("tensor 'a': expected an object with"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"F8","shape":[],"data_offsets":[0,1]}})", 1),
             Catch::Contains("tensor 'a': dtype \"F8\" is not supported"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1),
             Catch::Contains("'shape' holds -1"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1),
             Catch::Contains("'shape' holds 1.5"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
             Catch::Contains("more bytes than can be counted"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,0]}})", 0),
             Catch::Contains("'shape' holds 18446744073709551615"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
             Catch::Contains("shape [2] of F32 needs 8 bytes; the header gives 4"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", 4),
             Catch::Contains("its data is said to lie at 0 to 8; the file holds 4 bytes of data"));
  CHECK_THAT(error_of_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[3,1]}})", 4),
             Catch::Contains("its data is said to lie at 3 to 1"));
}

TEST_CASE("gaps, overlaps, left-over data and double names are refused", "[safetensors]") {
  const auto two = [](const char* a, const char* b) {
    return fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":{}}},"b":{{"dtype":"U8","shape":[2],)"
                       R"("data_offsets":{}}}}})",
                       a, b);
  };
  CHECK(error_of_header(two("[0,2]", "[2,4]"), 4) == "");
  CHECK(error_of_header(two("[2,4]", "[0,2]"), 4) == "");
  CHECK_THAT(error_of_header(two("[0,2]", "[3,5]"), 5),
             Catch::Contains("tensor 'b': its data starts at 3; expected 2"));
  CHECK_THAT(error_of_header(two("[0,2]", "[1,3]"), 3),
             Catch::Contains("tensor 'b': its data starts at 1; expected 2"));
  CHECK_THAT(error_of_header(two("[0,2]", "[2,4]"), 6),
             Catch::Contains("the tensors cover 4 bytes of data; the file holds 6"));
  const std::string entry = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  CHECK_THAT(error_of_header("{" + entry + "," + entry + "}", 2), Catch::Contains("the header names 'a' twice"));
}

TEST_CASE("a damaged file is read or refused, never worse", "[safetensors]") {
  const mneme::test::TemporaryDirectory directory;
  const fs::path file = directory / "model.safetensors";
  write_safetensors(file, {{"w", at::arange(6, at::kFloat).view({2, 3})}, {"i", at::arange(3, at::kLong)}},
                    {{"k", "v"}});
  const std::string good = read_file(file);
  RandomStream rng(3, "fuzz");
  int refused = 0;
  for (int round = 0; round < 800; ++round) {
    std::string bytes = good;
    const auto edits = 1 + rng.below(3);
    for (std::uint64_t e = 0; e < edits; ++e) {
      const auto at = static_cast<std::size_t>(rng.below(bytes.size()));
      if (rng.below(8) == 0) {
        bytes.resize(at + 1);
      } else {
        bytes[at] = rng.below(2) == 0 ? static_cast<char>(rng.below(256)) : "0123456789{}[]\",:"[rng.below(17)];
      }
    }
    write_file_atomically(file, bytes);
    try {
      for (const auto& [name, tensor] : read_safetensors(file)) tensor.sum();
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 250);
}

TEST_CASE("what cannot be written is refused", "[safetensors]") {
  const mneme::test::TemporaryDirectory directory;
  const fs::path file = directory / "model.safetensors";
  CHECK_THROWS_WITH(write_safetensors(file, {{"a", at::zeros({1})}, {"a", at::zeros({1})}}),
                    Catch::Contains("tensor name 'a' is taken"));
  CHECK_THROWS_WITH(write_safetensors(file, {{"a", at::zeros({1}, at::kComplexFloat)}}),
                    Catch::Contains("ComplexFloat, which the format does not know"));
}
