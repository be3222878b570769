// Every set of kernels that this CPU runs, against ATen in fp64.
#include "core/model/kernels/kernels.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <limits>

#include "core/model/kernels/matrix_unit.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

using namespace mneme::model;
using mneme::model::test::relative_error;

namespace {

constexpr double kTolerance = 1e-4;  // of the largest element; single elements of small results cancel

template <class F>
void for_each_table(F f) {
  const kernels::Tables tables = kernels::available_tables();
  for (int i = 0; i < tables.count; ++i) {
    INFO("kernels " << tables.all[i]->name);
    f(*tables.all[i]);
  }
}

float* data(const at::Tensor& t) { return t.data_ptr<float>(); }

at::Tensor packed(const kernels::Table& table, const at::Tensor& b, float scale) {
  at::Tensor out = at::full({table.packed_size(b.size(0), b.size(1))}, NAN);
  table.pack({.k = b.size(0),
              .n = b.size(1),
              .b = data(b),
              .b_row = b.stride(0),
              .b_col = b.stride(1),
              .scale = scale,
              .out = data(out)});
  return out;
}

}  // namespace

TEST_CASE("matrix products of all shapes", "[kernels]") {
  for_each_table([](const kernels::Table& table) {
    for (const std::int64_t m : {1, 2, 5, 6, 7, 12, 13, 31, 250})
      for (const std::int64_t n : {1, 3, 8, 16, 17, 24, 40, 64, 65, 130, 259})
        for (const std::int64_t k : {1, 8, 33, 400}) {
          const at::Tensor a = at::randn({m, k}), b = at::randn({k, n}), start = at::randn({m, n});
          const at::Tensor exact = at::mm(a.to(at::kDouble), b.to(at::kDouble));
          INFO(m << " x " << k << " x " << n);
          at::Tensor c = at::full({m, n}, NAN);
          const at::Tensor pack = packed(table, b, 1.f);
          table.gemm({.m = m, .n = n, .k = k, .a = data(a), .a_row = k, .b = data(pack), .c = data(c), .ldc = n});
          REQUIRE(relative_error(c, exact) < kTolerance);
          // transposed A, plain B, adding to C
          const at::Tensor at_ = a.t().contiguous();
          c = start.clone();
          table.gemm({.m = m,
                      .n = n,
                      .k = k,
                      .a = data(at_),
                      .a_row = 1,
                      .a_col = m,
                      .b = data(b),
                      .ldb = n,
                      .c = data(c),
                      .ldc = n,
                      .accumulate = true});
          REQUIRE(relative_error(c, exact + start) < kTolerance);
        }
  });
}

namespace {

/// a · b by the matrix unit, once for all rows and columns and once for `rows` from `first` on and the first panel
/// alone.
struct UnitProducts {
  at::Tensor whole, part;
};

UnitProducts unit_products(const kernels::MatrixUnit& unit, const at::Tensor& a, const at::Tensor& b,
                           std::int64_t first, std::int64_t rows) {
  const auto type = a.scalar_type() == at::kFloat ? kernels::Storage::kFloat : kernels::Storage::kBFloat16;
  const std::int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const at::Tensor packed = at::full({unit.packed_size(type, k, n)}, 0xff, at::kByte);
  unit.pack({.type = type,
             .k = k,
             .n = n,
             .b = b.data_ptr(),
             .b_row = b.stride(0),
             .b_col = b.stride(1),
             .out = packed.data_ptr()});
  const at::Tensor scratch = at::full({unit.scratch_size(type, m, k)}, 0xff, at::kByte);
  const at::Tensor whole = at::full({m, n + 3}, NAN), part = at::full({rows, std::min(n, unit.panel)}, NAN);
  kernels::UnitGemm args{.type = type,
                         .m = m,
                         .n = n,
                         .k = k,
                         .a = a.data_ptr(),
                         .a_row = k,
                         .b = packed.data_ptr(),
                         .c = data(whole),
                         .ldc = n + 3,
                         .scratch = scratch.data_ptr()};
  unit.gemm(args);
  args.m = rows;
  args.n = args.ldc = part.size(1);
  args.a = static_cast<const char*>(a.data_ptr()) + static_cast<std::size_t>(first * k) * a.element_size();
  args.c = data(part);
  unit.gemm(args);
  CHECK(whole.narrow(1, n, 3).isnan().all().item<bool>());
  return {whole.narrow(1, 0, n), part};
}

}  // namespace

TEST_CASE("products on the matrix unit, of bf16 and of fp32 in two parts", "[kernels]") {
  const kernels::MatrixUnit* unit = kernels::matrix_unit();
  if (unit == nullptr) {
    WARN("skipped: this CPU has no matrix unit");
    return;
  }
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  // Of the sum of the products' sizes: those of bf16 are exact; of fp32 numbers each factor and the product of what
  // rounding leaves may lose 2^-16.
  const double tolerance = type == at::kFloat ? 4.7e-5 : 1e-6;
  for (const std::int64_t m : {1, 2, 15, 16, 17, 32, 33, 95, 97, 250})
    for (const std::int64_t n : {1, 15, 16, 17, 31, 32, 33, 64, 130})
      for (const std::int64_t k : {1, 2, 31, 32, 33, 100, 400}) {
        INFO(m << " x " << k << " x " << n);
        const at::Tensor a = at::randn({m, k}).to(type), weight = at::randn({n, k}).to(type);
        const at::Tensor left = a.to(at::kDouble), right = weight.to(at::kDouble).t();
        const at::Tensor exact = at::mm(left, right), bound = at::mm(left.abs(), right.abs()) * tolerance;
        const std::int64_t rows = (m + 1) / 2, first = m - rows;
        const UnitProducts found = unit_products(*unit, a, weight.t(), first, rows);
        REQUIRE(((found.whole - exact).abs() <= bound).all().item<bool>());
        REQUIRE(at::equal(found.part, found.whole.narrow(0, first, rows).narrow(1, 0, found.part.size(1))));
        const at::Tensor other = weight.t().contiguous();  // the other order of B, the same product
        REQUIRE(at::equal(unit_products(*unit, a, other, first, rows).whole, found.whole));
      }
}

TEST_CASE("what is not finite stays so on the matrix unit", "[kernels]") {
  const kernels::MatrixUnit* unit = kernels::matrix_unit();
  if (unit == nullptr) {
    WARN("skipped: this CPU has no matrix unit");
    return;
  }
  at::Tensor a = at::ones({3, 40}).to(at::kBFloat16);
  a[0][39] = std::numeric_limits<float>::infinity();
  a[1][0] = NAN;
  const at::Tensor b = at::ones({5, 40}).to(at::kBFloat16);
  const at::Tensor c = unit_products(*unit, a, b.t(), 0, 1).whole;
  CHECK(c[0].isinf().all().item<bool>());
  CHECK(c[1].isnan().all().item<bool>());
  CHECK(at::equal(c[2], at::full({5}, 40.f)));
}

TEST_CASE("packing scales and transposes, and padding columns are allowed zeros", "[kernels]") {
  for_each_table([](const kernels::Table& table) {
    const at::Tensor a = at::randn({9, 20}), b = at::randn({24, 20});
    const at::Tensor pack = packed(table, b.t(), 0.5f);
    at::Tensor c = at::full({9, 32}, NAN);
    table.gemm({.m = 9,
                .n = 24,
                .k = 20,
                .a = data(a),
                .a_row = 20,
                .b = data(pack),
                .c = data(c),
                .ldc = 32,
                .pad_columns = true});
    CHECK(relative_error(c.narrow(1, 0, 24), at::mm(a, b.t()) * 0.5) < kTolerance);
  });
}

TEST_CASE("a row of a product does not depend on the other rows", "[kernels]") {
  for_each_table([](const kernels::Table& table) {
    const std::int64_t k = 500, n = 83;
    const at::Tensor a = at::randn({300, k}), b = at::randn({k, n});
    const at::Tensor pack = packed(table, b, 1.f);
    at::Tensor all = at::empty({300, n}), one = at::empty({1, n});
    table.gemm({.m = 300, .n = n, .k = k, .a = data(a), .a_row = k, .b = data(pack), .c = data(all), .ldc = n});
    for (const std::int64_t row : {0, 7, 123, 299}) {
      table.gemm(
          {.m = 1, .n = n, .k = k, .a = data(a) + row * k, .a_row = k, .b = data(pack), .c = data(one), .ldc = n});
      CHECK(at::equal(one[0], all[row]));
    }
  });
}

TEST_CASE("dropout keeps the mean, and its mask is a function of seed and index", "[kernels]") {
  for_each_table([](const kernels::Table& table) {
    const std::int64_t n = 100000;
    const at::Tensor x = at::ones({n});
    at::Tensor out = at::empty({n}), again = at::zeros({n});
    table.dropout({.first = 0, .count = n, .seed = 11, .p = 0.25, .x = data(x), .out = data(out)});
    CHECK(out.mean().item<double>() == Approx(1).margin(0.01));
    CHECK((out == 0).sum().item<std::int64_t>() == Approx(25000).margin(600));
    CHECK(out.max().item<float>() == Approx(1 / 0.75));
    table.dropout(
        {.first = 500, .count = 100, .seed = 11, .p = 0.25, .x = data(x), .out = data(again), .accumulate = true});
    CHECK(at::equal(again.narrow(0, 500, 100), out.narrow(0, 500, 100)));
    CHECK(again.narrow(0, 0, 500).abs().max().item<float>() == 0);
    table.dropout({.first = 0, .count = n, .seed = 12, .p = 0.25, .x = data(x), .out = data(again)});
    CHECK_FALSE(at::equal(again, out));
  });
}

TEST_CASE("cross-entropy of extreme logits", "[kernels]") {
  for_each_table([](const kernels::Table& table) {
    const at::Tensor logits = at::tensor({1000.f, 0.f, -1000.f, 3.f, 3.f, 3.f, -50.f, -50.f, -49.f}).view({3, 3});
    const at::Tensor labels = at::tensor({0L, 1L, 2L});
    at::Tensor losses = at::empty({3}), normalisers = at::empty({3});
    table.label_loss_forward({.rows = 3,
                              .classes = 3,
                              .logits = data(logits),
                              .labels = labels.const_data_ptr<std::int64_t>(),
                              .losses = data(losses),
                              .normalisers = data(normalisers)});
    const at::Tensor exact = at::cross_entropy_loss(logits.to(at::kDouble), labels, {}, at::Reduction::None);
    CHECK(relative_error(losses, exact) < kTolerance);
  });
}

TEST_CASE("the largest of a row: the first of equals, and never what is not a number", "[kernels]") {
  for_each_table([](const kernels::Table& table) {
    const float none = -std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const std::int64_t columns : {1, 5, 16, 50, 1003}) {
        // Few different values, so that most rows have several largest ones.
        at::Tensor x = at::randint(-4, 4, {7, columns}, at::detail::createCPUGenerator(3), at::kFloat);
        x.select(0, 1).fill_(none);
        x.select(0, 2).fill_(nan);
        x.select(0, 3).fill_(none).narrow(0, columns - 1, 1).fill_(-3e38f);
        const at::Tensor stored = x.to(type).contiguous();
        std::vector<std::int32_t> places(7, -1), expected;
        for (std::int64_t i = 0; i < 7; ++i) {
          std::int64_t best = -1;
          for (std::int64_t j = 0; j < columns; ++j)
            if (x[i][j].item<float>() > (best < 0 ? none : x[i][best].item<float>())) best = j;
          expected.push_back(static_cast<std::int32_t>(std::max<std::int64_t>(best, 0)));
        }
        table.largest_of_row({.type = type == at::kFloat ? kernels::Storage::kFloat : kernels::Storage::kBFloat16,
                              .rows = 7,
                              .columns = columns,
                              .x = stored.const_data_ptr(),
                              .places = places.data()});
        CHECK(places == expected);
      }
  });
}

TEST_CASE("a new token attends to what the cache holds of its slot", "[kernels]") {
  struct Case {
    std::int64_t heads, kv_heads, head_dim, capacity, window;
  };
  const auto check = [](const kernels::Table& table, const Case& c, at::ScalarType type) {
    INFO(c.heads << " heads, " << c.kv_heads << " of keys, of " << c.head_dim << ", window " << c.window << ", "
                 << c10::toString(type));
    const kernels::Storage storage = type == at::kFloat ? kernels::Storage::kFloat : kernels::Storage::kBFloat16;
    auto random = at::detail::createCPUGenerator(5);
    const std::int64_t slots = 3, width = c.kv_heads * c.head_dim, stride = (c.head_dim + 15) / 16 * 16;
    const std::vector<std::int64_t> places = {2, 0}, lengths = {c.capacity - 1, 4};
    const std::vector<std::int64_t> offsets = {0, lengths[0], lengths[0] + lengths[1]};
    const at::Tensor past = at::randn({offsets[2], 2 * width}, random, at::kFloat).to(type);
    const at::Tensor now = at::randn({2, c.heads * c.head_dim + 2 * width}, random, at::kFloat).to(type);
    at::Tensor keys = at::zeros({slots, c.kv_heads, c.capacity, stride}, type), values = keys.clone();
    at::Tensor out = at::empty({2, c.heads * c.head_dim}, type);
    const auto column = [](const at::Tensor& t, std::int64_t first) { return t.narrow(1, first, 1).const_data_ptr(); };

    at::Tensor key = at::empty({c.head_dim + 16}, at::kFloat);
    const kernels::CacheStore store{.type = storage,
                                    .kv_heads = c.kv_heads,
                                    .head_dim = c.head_dim,
                                    .capacity = c.capacity,
                                    .stride = stride,
                                    .slots = places.data(),
                                    .offsets = offsets.data(),
                                    .k = column(past, 0),
                                    .v = column(past, width),
                                    .kv_stride = 2 * width,
                                    .keys = keys.data_ptr(),
                                    .values = values.data_ptr()};
    const kernels::CacheAttention attention{.type = storage,
                                            .heads = c.heads,
                                            .kv_heads = c.kv_heads,
                                            .head_dim = c.head_dim,
                                            .capacity = c.capacity,
                                            .stride = stride,
                                            .scale = 0.5f,
                                            .window = c.window,
                                            .slots = places.data(),
                                            .positions = lengths.data(),
                                            .q = column(now, 0),
                                            .k = column(now, c.heads * c.head_dim),
                                            .v = column(now, c.heads * c.head_dim + width),
                                            .q_stride = now.size(1),
                                            .kv_stride = now.size(1),
                                            .keys = keys.data_ptr(),
                                            .values = values.data_ptr(),
                                            .out = out.data_ptr()};
    at::Tensor scratch = at::empty({table.cache_scratch(attention)}, at::kFloat);
    for (std::int64_t row = 0; row < 2; ++row)
      for (std::int64_t head = 0; head < c.kv_heads; ++head) {
        table.cache_store(store, row, head, data(key));
        table.cache_attention(attention, row, head, data(scratch));
      }

    at::Tensor expected = at::empty({2, c.heads, c.head_dim}, at::kDouble);
    for (std::int64_t row = 0; row < 2; ++row)
      for (std::int64_t head = 0; head < c.heads; ++head) {
        const std::int64_t shared = head / (c.heads / c.kv_heads) * c.head_dim;
        const auto seen = [&](std::int64_t first) {
          const at::Tensor old =
              past.narrow(0, offsets[static_cast<std::size_t>(row)], lengths[static_cast<std::size_t>(row)]);
          const at::Tensor all =
              at::cat({old.narrow(1, first + shared, c.head_dim),
                       now.narrow(0, row, 1).narrow(1, c.heads * c.head_dim + first + shared, c.head_dim)})
                  .to(at::kDouble);
          return c.window > 0 && c.window < all.size(0) ? all.narrow(0, all.size(0) - c.window, c.window) : all;
        };
        const at::Tensor q = now.narrow(0, row, 1).narrow(1, head * c.head_dim, c.head_dim).to(at::kDouble);
        expected[row][head] = at::matmul(at::softmax(at::matmul(q, seen(0).t()) * 0.5, 1), seen(width)).squeeze(0);
      }
    CHECK(relative_error(out, expected.view({2, -1})) < (type == at::kFloat ? kTolerance : 1e-2));
  };
  for_each_table([&](const kernels::Table& table) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const Case& c : {Case{4, 4, 64, 48, 0}, Case{6, 2, 20, 16, 0}, Case{4, 1, 8, 32, 5}, Case{2, 2, 80, 80, 16}})
        check(table, c, type);
  });
}
