#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/progress.h"
#include "core/base/random.h"
#include "core/base/suggest.h"
#include "tests/support/catch.h"

using namespace mneme;

TEST_CASE("SHA-256 of the FIPS 180-2 examples", "[hash]") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("random streams are reproducible and independent by name", "[random]") {
  RandomStream a(1, "order"), b(1, "order"), c(1, "reservoir"), d(2, "order");
  const auto first = a.next();
  CHECK(b.next() == first);
  CHECK(c.next() != first);
  CHECK(d.next() != first);
  const auto state = a.state();
  const auto second = a.next();
  a.set_state(state);
  CHECK(a.next() == second);
}

TEST_CASE("random distributions have the right moments", "[random]") {
  RandomStream r(7, "moments");
  constexpr int n = 200000;
  double sum = 0, squares = 0;
  std::vector<int> counts(7);
  for (int i = 0; i < n; ++i) {
    const double x = r.normal();
    sum += x, squares += x * x;
    ++counts[r.below(7)];
  }
  CHECK(std::abs(sum / n) < 0.01);
  CHECK(squares / n == Approx(1).margin(0.02));
  for (const int count : counts) CHECK(count == Approx(n / 7.0).epsilon(0.03));
  CHECK_THROWS_AS(r.below(0), Error);
}

TEST_CASE("a sample holds distinct indices", "[random]") {
  RandomStream r(3, "sample");
  auto s = r.sample(10, 10);
  std::sort(s.begin(), s.end());
  for (std::int64_t i = 0; i < 10; ++i) CHECK(s[i] == i);
  CHECK_THROWS_AS(r.sample(3, 4), Error);
}

TEST_CASE("near keys are suggested, far ones listed", "[suggest]") {
  CHECK(edit_distance("sede", "seed") == 1);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(hint("sede", {"seed", "stream"}) == "; did you mean 'seed'?");
  CHECK(hint("zzz", {"seed", "stream"}) == "; known: seed, stream");
  CHECK(nearest("train.lrr", {"train.clip", "train.learning_rate"}).empty());
  CHECK(nearest("trian.clip", {"train.clip", "stream.clip"}) == "train.clip");
  CHECK(nearest("train.lr", {"train.clip", "train.learning_rate"}) == "train.learning_rate");
  CHECK(nearest("lr", {"learning_rate", "low_rank"}).empty());
}

TEST_CASE("an error carries its context", "[error]") {
  try {
    with_context("reading task 3 'xsum'", [] { throw DataError("row 7 has no answer"); });
    FAIL("no exception");
  } catch (const DataError& e) {
    CHECK(e.message() == "row 7 has no answer");
    CHECK(std::string(e.what()) == "row 7 has no answer\n  while reading task 3 'xsum'");
  }
  CHECK_THROWS_WITH([] { MNEME_CHECK(1 > 2, "found {}, expected {}", 1, 2); }(),
                    Catch::Contains("found 1, expected 2"));
}

TEST_CASE("files are replaced whole and mapped", "[file]") {
  const auto directory = std::filesystem::temp_directory_path() / fmt::format("mneme-file-{}", ::getpid());
  std::filesystem::create_directories(directory);
  const auto path = directory / "a.txt";
  write_file_atomically(path, "one");
  write_file_atomically(path, "two");
  CHECK(read_file(path) == "two");
  CHECK(MappedFile(path).bytes().size() == 3);
  CHECK(sha256_file(path.string()) == sha256_hex("two"));
  CHECK(std::distance(std::filesystem::directory_iterator(directory), {}) == 1);
  CHECK_THROWS_WITH(read_file(directory / "none"), Catch::Contains("none") && Catch::Contains("No such file"));
  CHECK_THROWS_AS(write_file_atomically(directory / "no" / "x", ""), Error);
  std::filesystem::remove_all(directory);
}

TEST_CASE("durations are readable", "[progress]") {
  CHECK(format_duration(12.4) == "12 s");
  CHECK(format_duration(247) == "4:07");
  CHECK(format_duration(3909) == "1:05:09");
  CHECK(format_duration(-1) == "?");
}
