#include "core/adapter/state.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/model/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;

namespace {
/// One of everything that a state may hold.
struct Everything {
  at::Tensor tensor, undefined, empty = at::empty({0}), whole = at::empty({0}, at::kLong);
  std::int64_t integer = 0;
  double real = 0;
  bool flag = false;
  std::string text;
  std::vector<std::int64_t> integers;
  std::map<std::int64_t, std::int64_t> mapped;
  std::vector<std::string> texts;
  std::map<std::string, at::Tensor> named;
  std::vector<at::Tensor> listed;
  RandomStream random{1, "state"};

  void visit_state(StateVisitor& v) {
    v.tensor("tensor", tensor);
    v.tensor("undefined", undefined);
    v.tensor("empty", empty);
    v.tensor("whole", whole);
    v.integer("integer", integer);
    v.real("real", real);
    v.flag("flag", flag);
    v.text("text", text);
    v.integers("integers", integers);
    v.integers("mapped", mapped);
    v.texts("texts", texts);
    v.tensors("named", named);
    v.tensors("listed", listed);
    v.random("random", random);
  }
};

Everything filled() {
  Everything e;
  e.tensor = at::arange(6, at::kFloat).view({2, 3}).t();  // not contiguous
  e.tensor[0][0] = 0.1F;
  e.whole = at::tensor({std::numeric_limits<std::int64_t>::min(), std::int64_t{7}});
  e.integer = std::numeric_limits<std::int64_t>::min();
  e.real = 0.1;
  e.flag = true;
  e.text = "line\n\"quoted\" ü = '\t'";
  e.integers = {3, -1, 4};
  e.mapped = {{2, 20}, {-1, 10}};
  e.texts = {"", "b", "c=d"};
  e.named = {{"x", at::full({2}, 1.5)}, {"y/z", at::full({1}, -0.0F)}};
  e.listed = {at::ones({1}), at::Tensor(), at::tensor({1, 0}).to(at::kBool)};
  for (int i = 0; i < 5; ++i) e.random.next();
  return e;
}

std::string hash_of(Everything& e) {
  StateHasher hasher;
  hasher.object("all", e);
  return hasher.hex();
}

void save(Everything& e, const std::filesystem::path& file) {
  StateSaver saver;
  saver.object("all", e);
  saver.write(file);
}
}  // namespace

TEST_CASE("a state saved and loaded is equal bit for bit, whatever was there before", "[state]") {
  const test::TemporaryDirectory directory("state");
  Everything written = filled();
  save(written, directory / "file");
  for (const bool blank : {true, false}) {
    Everything read;
    if (!blank) {
      read = filled();
      read.texts.assign(9, "old");
      read.listed.assign(7, at::zeros({3}));
      read.named["old"] = at::zeros({1});
      read.mapped[99] = 1;
      read.undefined = at::ones({2});
    }
    StateLoader loader(directory / "file");
    CHECK(loader.loading());
    loader.object("all", read);
    CHECK(hash_of(read) == hash_of(written));
    CHECK(at::equal(read.tensor, written.tensor));
    CHECK_FALSE(read.undefined.defined());
    CHECK(read.empty.numel() == 0);
    CHECK(read.whole.scalar_type() == at::kLong);
    CHECK(read.integer == written.integer);
    CHECK(read.real == 0.1);
    CHECK(read.text == written.text);
    CHECK(read.integers == written.integers);
    CHECK(read.mapped == written.mapped);
    CHECK(read.texts == written.texts);
    CHECK(read.named.size() == 2);
    CHECK(std::signbit(read.named.at("y/z").item<float>()));
    CHECK(read.listed.size() == 3);
    CHECK_FALSE(read.listed[1].defined());
    CHECK(read.random.next() == RandomStream(written.random).next());
    read.tensor.add_(1);  // own memory, not the file's
  }
}

TEST_CASE("numbers that are hard to write survive", "[state]") {
  const test::TemporaryDirectory directory("numbers");
  for (const double value : {0.0, -0.0, 1e-310, std::numeric_limits<double>::max(), 1.0 / 3,
                             std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    Everything written, read;
    written.real = value;
    save(written, directory / "file");
    StateLoader loader(directory / "file");
    loader.object("all", read);
    CHECK(read.real == value);
    CHECK(std::signbit(read.real) == std::signbit(value));
  }
}

TEST_CASE("a hash tells every part", "[state]") {
  Everything base = filled();
  const std::string expected = hash_of(base);
  Everything same = filled();
  CHECK(hash_of(same) == expected);
  const std::vector<std::function<void(Everything&)>> changes = {
      [](Everything& e) { e.tensor = e.tensor + 1e-6; },
      [](Everything& e) {
        e.tensor = e.tensor.contiguous().view({2, 3});
      },
      [](Everything& e) { e.tensor = e.tensor.to(at::kDouble); },
      [](Everything& e) { e.undefined = at::empty({0}); },
      [](Everything& e) { e.integer += 1; },
      [](Everything& e) { e.real = std::nextafter(e.real, 1); },
      [](Everything& e) { e.flag = false; },
      [](Everything& e) { e.text += " "; },
      [](Everything& e) { std::swap(e.integers[0], e.integers[1]); },
      [](Everything& e) { e.mapped[2] = 21; },
      [](Everything& e) {
        e.texts = {"b", "", "c=d"};
      },
      [](Everything& e) { e.named["x"] = at::full({2}, 1.25); },
      [](Everything& e) { e.listed.pop_back(); },
      [](Everything& e) { e.random.next(); }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Everything changed = filled();
    changed.tensor = changed.tensor.clone();
    changes[i](changed);
    INFO("change " << i);
    CHECK(hash_of(changed) != expected);
  }
}

TEST_CASE("size: bytes of tensors and texts, eight for a number", "[state]") {
  struct Small {
    at::Tensor a = at::zeros({3}), none;
    std::int64_t n = 1;
    double x = 2;
    std::string word = "four";
    void visit_state(StateVisitor& v) {
      v.tensor("a", a);
      v.tensor("none", none);
      v.integer("n", n);
      v.real("x", x);
      v.text("word", word);
    }
  } small;
  StateSizer sizer;
  sizer.object("small", small);
  CHECK(sizer.bytes() == 12 + 8 + 8 + 4);
}

TEST_CASE("what a state lacks, or holds as something else, is named with its file", "[state]") {
  const test::TemporaryDirectory directory("wrong");
  const auto file = directory / "file";
  struct Part {
    std::int64_t n = 5;
    void visit_state(StateVisitor& v) { v.integer("n", n); }
  } part;
  StateSaver saver;
  saver.object("old", part);
  saver.write(file);
  const auto load = [&](auto visit) {
    StateLoader loader(file);
    visit(loader);
  };
  at::Tensor tensor;
  std::string text;
  double real = 0;
  CHECK_THROWS_WITH(load([&](StateLoader& l) { l.object("new", part); }),
                    Contains(file.string()) && Contains("'new/n'") && Contains("another version"));
  CHECK_THROWS_WITH(load([&](StateLoader& l) { l.tensor("old/n", tensor); }),
                    Contains("'old/n'") && Contains("a tensor"));
  CHECK_THROWS_WITH(load([&](StateLoader& l) { l.text("old/n", text); }), Contains("'old/n'") && Contains("a text"));
  load([&](StateLoader& l) { l.real("old/n", real); });
  CHECK(real == 5);
  model::write_safetensors(file, {}, {{"old/n", "=5"}, {"lost", "tensor"}, {"big", "99999999999999999999"}});
  CHECK_THROWS_WITH(load([&](StateLoader& l) { l.object("old", part); }),
                    Contains("'old/n' is '=5'") && Contains("whole number"));
  CHECK_THROWS_WITH(load([&](StateLoader& l) { l.tensor("lost", tensor); }), Contains("'lost'"));
  CHECK_THROWS_WITH(load([&](StateLoader& l) { l.integer("big", part.n); }), Contains("'big'"));
  write_file_atomically(file, "short");
  CHECK_THROWS_WITH(load([](StateLoader&) {}), Contains(file.string()));
  CHECK_THROWS_WITH(StateLoader(directory / "absent"), Contains("absent"));
}

TEST_CASE("two parts of one name are refused", "[state]") {
  StateSaver saver;
  std::int64_t n = 1;
  saver.integer("n", n);
  CHECK_THROWS_WITH(saver.integer("n", n), Contains("two parts named 'n'"));
}

TEST_CASE("a tensor's digest is of type, shape and bytes", "[state]") {
  const at::Tensor value = at::arange(6, at::kFloat);
  CHECK(tensor_digest(value) == tensor_digest(value.clone()));
  CHECK(tensor_digest(value) != tensor_digest(value.view({2, 3})));
  CHECK(tensor_digest(value.view({2, 3}).t()) == tensor_digest(value.view({2, 3}).t().contiguous()));
  CHECK(tensor_digest(value) != tensor_digest(value.view(at::kInt)));
}
