#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/record/h5/h5.h"
#include "core/record/reader.h"
#include "core/record/seal.h"
#include "core/record/writer.h"
#include "tests/core/record/sample_run.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::record;
using Catch::Contains;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

namespace {
/// The bytes of a small record with a row in every table.
std::string small_record() {
  const TemporaryDirectory directory("damage");
  {
    RecordWriter writer(directory / "run.h5");
    writer.begin(test::sample_info());
    for (const std::int64_t unit : {0, 39, 79}) test::SampleRun::emit(writer, unit);
    writer.end(RunStatus::kFailed, "out of memory");
  }
  return read_file(directory / "run.h5");
}

void write_plainly(const fs::path& file, std::string_view bytes) { std::ofstream(file, std::ios::binary) << bytes; }

/// Whether everything that opens a record refuses these bytes.
bool refused(const fs::path& file, std::string_view bytes) {
  write_plainly(file, bytes);
  const auto throws = [](const std::function<void()>& use) {
    try {
      use();
      return false;
    } catch (const RecordError& error) {
      return std::string(error.what()).find("run.h5: ") != std::string::npos;
    }
  };
  return throws([&] { Record record(file); }) && throws([&] { RecordWriter::resume(file, {}); }) &&
         !mark_failed(file, "gone");
}

void overwrite(std::string& bytes, std::size_t at, const std::string& with) {
  bytes.replace(at, std::min(with.size(), bytes.size() - at), with, 0, bytes.size() - at);
}
}  // namespace

TEST_CASE("a record cut at any byte is refused", "[record][damage]") {
  const std::string whole = small_record();
  const TemporaryDirectory directory("cut");
  const auto check = [&](std::size_t length) {
    INFO("cut to " << length << " of " << whole.size());
    CHECK(refused(directory / "run.h5", whole.substr(0, length)));
  };
  for (std::size_t length = 0; length < 600; ++length) check(length);
  for (std::size_t length = 600; length < whole.size(); length += 997) check(length);
  for (std::size_t back = 1; back < 64; ++back) check(whole.size() - back);
}

// HDF5 itself crashes on some of these.
TEST_CASE("a garbled record is refused", "[record][damage]") {
  const std::string whole = small_record();
  const TemporaryDirectory directory("garbled");
  for (int round = 0; round < 400; ++round) {
    RandomStream random(static_cast<std::uint64_t>(round), "damage");
    std::string noise(std::size_t{1} << random.below(12), static_cast<char>(round % 3 == 0 ? 0 : 0xff));
    if (round % 3 == 2)
      for (char& c : noise) c = static_cast<char>(random.below(256));
    std::string bytes = whole;
    overwrite(bytes, random.below(round % 2 == 0 ? bytes.size() : 1024), noise);
    INFO("round " << round);
    if (bytes != whole) CHECK(refused(directory / "run.h5", bytes));
  }
  std::string last = whole;
  last.back() = static_cast<char>(last.back() ^ 1);
  write_plainly(directory / "run.h5", last);
  CHECK_THROWS_WITH(Record(directory / "run.h5"), Contains("cut or damaged") && Contains("SHA-256"));
}

TEST_CASE("a record without a seal, from an older or another program, is read", "[record][damage]") {
  const TemporaryDirectory directory("unsealed");
  const std::string whole = small_record();
  write_plainly(directory / "sealed.h5", whole);
  write_plainly(directory / "plain.h5", whole.substr(512));
  CHECK(test::dump(directory / "plain.h5") == test::dump(directory / "sealed.h5"));
  CHECK_FALSE(mark_failed(directory / "plain.h5", "gone"));  // it has its ending
  write_plainly(directory / "other.h5", "PK, say");
  CHECK_THROWS_WITH(Record(directory / "other.h5"), Contains("other.h5") && Contains("no run record"));
}

TEST_CASE("what a record claims is checked before it is believed", "[record][damage]") {
  const TemporaryDirectory directory("claims");
  const fs::path file = directory / "run.h5";
  const auto changed = [&](const std::function<void(hid_t)>& change) {
    write_plainly(file, small_record().substr(512));
    const h5::Id opened(::H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
    REQUIRE(opened >= 0);
    change(opened);
  };
  const auto resized = [](const char* path, hsize_t rows) {
    return [=](hid_t opened) {
      const h5::Id dataset(::H5Dopen2(opened, path, H5P_DEFAULT));
      REQUIRE(::H5Dset_extent(dataset, &rows) >= 0);
    };
  };
  const auto replaced = [](const char* path, hid_t type, std::vector<hsize_t> shape) {
    return [=](hid_t opened) {
      ::H5Ldelete(opened, path, H5P_DEFAULT);
      const h5::Id space(::H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr));
      const h5::Id dataset(::H5Dcreate2(opened, path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
      REQUIRE(dataset >= 0);
    };
  };
  const auto resume = [&] { RecordWriter::resume(file, {})->begin(test::sample_info()); };

  changed(resized("/train/steps", hsize_t{1} << 40));
  CHECK_THROWS_WITH(Record(file).steps(), Contains("/train/steps") && Contains("more than a file of"));
  CHECK_THROWS_AS(RecordWriter::resume(file, {}), RecordError);
  changed(resized("/eval/examples", hsize_t{1} << 62));
  CHECK_THROWS_AS(Record(file).examples(), RecordError);
  changed(resized("/train/terms", 200));  // rows that were never written
  CHECK(Record(file).terms().size() == 200);

  changed(replaced("/eval/scores", H5T_IEEE_F64LE, {hsize_t{1} << 30, hsize_t{1} << 20}));
  CHECK_THROWS_WITH(Record(file).scores(), Contains("/eval/scores") && Contains("claims"));
  CHECK_THROWS_AS(resume(), RecordError);
  changed(replaced("/eval/scores", H5T_IEEE_F64LE, {2, 2}));
  CHECK_THROWS_WITH(resume(), Contains("/eval/scores") && Contains("[2, 2]") && Contains("[4, 3]"));
  changed(replaced("/eval/metrics/rouge_l", H5T_IEEE_F64LE, {12}));
  CHECK_THROWS_WITH(resume(), Contains("/eval/metrics/rouge_l") && Contains("[12]"));

  changed(replaced("/config/resolved", H5T_IEEE_F64LE, {1}));
  CHECK_THROWS_WITH(Record(file).config(), Contains("/config/resolved"));
  changed(replaced("/config/resolved", H5T_C_S1, {3}));
  CHECK_THROWS_WITH(Record(file).config(), Contains("single value, found 3"));
  changed(replaced("/train/steps", H5T_STD_I64LE, {4}));
  CHECK_THROWS_WITH(Record(file).steps(), Contains("compound table"));

  changed([](hid_t opened) {
    const hsize_t five = 5;
    ::H5Adelete(opened, "version");
    const h5::Id space(::H5Screate_simple(1, &five, nullptr));
    const h5::Id attribute(::H5Acreate2(opened, "version", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT));
    REQUIRE(attribute >= 0);
  });
  CHECK_THROWS_WITH(Record(file), Contains("'version'") && Contains("found 5"));
}
