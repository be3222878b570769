// read_torch_archive() against files that torch.save() wrote (record_torch_archive.py) and against damaged ones.
#include "core/model/torch_archive.h"

#include <ATen/ATen.h>

#include <cstring>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/model/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::model;
using Catch::Contains;

namespace {
const std::filesystem::path kFixtures =
    std::filesystem::path(MNEME_SOURCE_DIR) / "tests/parity/model/fixtures/torch_archive";

void check_equal(const std::string& archive, const std::string& expected) {
  const auto found = read_torch_archive(kFixtures / archive);
  const auto wanted = read_safetensors(kFixtures / expected);
  CHECK(found.size() == wanted.size());
  for (const auto& [name, tensor] : wanted) {
    INFO(archive << ": " << name);
    REQUIRE(found.contains(name));
    const at::Tensor& read = found.at(name);
    CHECK(read.is_contiguous());
    CHECK(read.scalar_type() == tensor.scalar_type());
    CHECK(read.sizes() == tensor.sizes());
    CHECK(at::equal(read, tensor));
  }
}

std::string error_of(const std::string& bytes) {
  const test::TemporaryDirectory directory("torch-archive");
  write_file_atomically(directory / "model.bin", bytes);
  try {
    read_torch_archive(directory / "model.bin");
  } catch (const Error& e) {
    return e.message();
  }
  return "";
}

/// A zip archive of stored entries with the given compression method in its directory.
std::string zip(const std::vector<std::pair<std::string, std::string>>& entries, std::uint16_t method = 0) {
  std::string bytes, directory;
  const auto put = [](std::string& out, auto value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (const auto& [name, content] : entries) {
    const auto offset = static_cast<std::uint32_t>(bytes.size()), size = static_cast<std::uint32_t>(content.size());
    const auto header = [&](std::string& out) {
      for (const std::uint16_t field :
           {std::uint16_t{20}, std::uint16_t{0}, method, std::uint16_t{0}, std::uint16_t{0}})
        put(out, field);
      for (const std::uint32_t field : {std::uint32_t{0}, size, size}) put(out, field);
      put(out, static_cast<std::uint16_t>(name.size()));
      put(out, std::uint16_t{0});
    };
    put(bytes, std::uint32_t{0x04034b50});
    header(bytes);
    bytes += name + content;
    put(directory, std::uint32_t{0x02014b50});
    put(directory, std::uint16_t{20});
    header(directory);
    for (int i = 0; i < 3; ++i) put(directory, std::uint16_t{0});
    put(directory, std::uint32_t{0});
    put(directory, offset);
    directory += name;
  }
  const auto start = static_cast<std::uint32_t>(bytes.size()), size = static_cast<std::uint32_t>(directory.size());
  bytes += directory;
  put(bytes, std::uint32_t{0x06054b50});
  for (const auto field : {std::size_t{0}, std::size_t{0}, entries.size(), entries.size()})
    put(bytes, static_cast<std::uint16_t>(field));
  put(bytes, size);
  put(bytes, start);
  put(bytes, std::uint16_t{0});
  return bytes;
}

std::string text(const std::string& value) { return "\x8c" + std::string(1, static_cast<char>(value.size())) + value; }
std::string number(std::int64_t value) {
  std::string bytes("\x8a\x08", 2);
  return bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

struct TensorFields {
  std::string type = "ctorch\nFloatStorage\n", key = "0";
  std::int64_t elements = 4, offset = 0;
  std::string shape = number(2) + number(2) + "\x86", strides = number(2) + number(1) + "\x86";
};

/// The pickle of {"w": tensor}.
std::string pickle(const TensorFields& f) {
  const std::string storage = "(" + text("storage") + f.type + text(f.key) + text("cpu") + number(f.elements) + "tQ";
  return "\x80\x02}" + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(f.offset) + f.shape +
         f.strides + "\x89" + "Nt" + "Rs.";
}

std::string archive(const TensorFields& f) {
  const float data[4] = {1, 2, 3, 4};
  return zip({{"m/data.pkl", pickle(f)}, {"m/data/0", std::string(reinterpret_cast<const char*>(data), sizeof data)}});
}
}  // namespace

TEST_CASE("files of torch.save give the tensors that were saved", "[torch_archive][parity]") {
  check_equal("module.bin", "module.safetensors");
  check_equal("mixed.bin", "mixed.safetensors");
  check_equal("protocol4.bin", "mixed.safetensors");
  const auto tied = read_torch_archive(kFixtures / "module.bin");
  CHECK(tied.at("head.weight").data_ptr() == tied.at("embedding.weight").data_ptr());
}

TEST_CASE("what is no dictionary of plain tensors is refused by name", "[torch_archive]") {
  const auto refuse = [](const std::string& file, const std::string& message) {
    CHECK_THROWS_WITH(read_torch_archive(kFixtures / file), Contains(message) && Contains(file));
  };
  refuse("before_1_6.bin", "has no zip directory");
  refuse("number.bin", "tensor 'epoch': is no plain tensor");
  refuse("sparse.bin", "tensor 'sparse': is no plain tensor but made by 'torch._utils _rebuild_sparse_tensor'");
  refuse("tensor.bin", "holds no dictionary");
}

TEST_CASE("a pickle is never executed", "[torch_archive]") {
  const auto with = [](const std::string& pickle) { return error_of(zip({{"m/data.pkl", "\x80\x02" + pickle}})); };
  CHECK_THAT(with("}" + text("w") + "cos\nsystem\n" + text("true") + "\x85Rs."), Contains("made by 'os system'"));
  CHECK_THAT(with("ibuiltins\neval\n."), Contains("the pickle instruction 0x69"));
  CHECK_THAT(with("}" + text("w") + "ccollections\nOrderedDict\n)Rs."), Contains("made by 'collections OrderedDict'"));
  CHECK_THAT(with("(((("), Contains("1 bytes are wanted"));
  CHECK_THAT(with("R."), Contains("a value is missing"));
  CHECK_THAT(with("h\x05."), Contains("the empty memory slot 5"));
  CHECK_THAT(with("Nr\xff\xff\xff\x7f."), Contains("memory slot 2147483647"));
  CHECK_THAT(with("X\xff\xff\xff\x7f"
                  "abc."),
             Contains("2147483647 bytes are wanted, but 4 are left"));
}

TEST_CASE("tensors that reach out of their storage are refused", "[torch_archive]") {
  REQUIRE(error_of(archive({})).empty());
  const auto refuse = [](const TensorFields& fields, const std::string& message) {
    CHECK_THAT(error_of(archive(fields)), Contains("tensor 'w'") && Contains(message));
  };
  refuse({.offset = 1}, "its 4 elements from 1 on reach element 4 of its storage, which has 4");
  refuse({.offset = -1}, "its offset is no whole number from 0");
  refuse({.elements = 5}, "is said to have 5 elements of Float; the archive has 16 bytes");
  refuse({.key = "../1"}, "its data 'm/data/../1' is not in the archive");
  refuse({.type = "ctorch\nComplexFloatStorage\n"}, "its storage is a 'torch ComplexFloatStorage'");
  refuse({.shape = number(1LL << 40) + number(1LL << 40) + "\x86"}, "has more elements than can be counted");
  refuse({.shape = number(1LL << 40) + number(1) + "\x86", .strides = number(0) + number(0) + "\x86"},
         "its 1099511627776 elements");
  refuse({.strides = number(1LL << 62) + number(1LL << 62) + "\x86"}, "its strides lead out of its storage");
  refuse({.shape = number(-2) + number(2) + "\x86"}, "its shape is no whole number from 0");
  refuse({.shape = number(2) + "\x85"}, "has 1 sizes and 2 strides");
}

TEST_CASE("damaged archives are refused", "[torch_archive]") {
  CHECK_THAT(error_of(""), Contains("has 0 bytes; expected a zip archive"));
  CHECK_THAT(error_of(zip({{"m/version", "3"}})), Contains("the archive has no data.pkl"));
  CHECK_THAT(error_of(zip({{"m/data.pkl", "."}, {"m/data.pkl", "."}})), Contains("entry 'm/data.pkl' is there twice"));
  CHECK_THAT(error_of(zip({{"m/data.pkl", "."}}, 8)), Contains("entry 'm/data.pkl' is compressed"));
  CHECK_THAT(error_of(zip({{"m/byteorder", "big"}, {"m/data.pkl", "}."}})), Contains("its byte order is 'big'"));
  const std::string whole = archive({});
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(error_of(whole.substr(0, size)).empty());
}

TEST_CASE("no changed byte of an archive does worse than an error", "[torch_archive][property]") {
  const test::TemporaryDirectory directory("torch-archive");
  const std::string whole = read_file(kFixtures / "mixed.bin");
  RandomStream random(11, "archive");
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    for (std::uint64_t i = 0, n = 1 + random.below(4); i < n; ++i)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    write_file_atomically(directory / "model.bin", bytes);
    try {
      for (const auto& [name, tensor] : read_torch_archive(directory / "model.bin")) tensor.sum();
    } catch (const Error& e) {
      CHECK(e.message().find("model.bin") != std::string::npos);
    }
  }
}
