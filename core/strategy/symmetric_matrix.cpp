#include "core/strategy/symmetric_matrix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace mneme {

namespace {
constexpr std::int64_t kBlock = 512;

/// First row of a block row, which ends where its diagonal block ends.
std::int64_t start_of(const at::Tensor& row) { return row.size(1) - row.size(0); }

at::Tensor diagonal_block(const at::Tensor& row) { return row.narrow(1, start_of(row), row.size(0)); }

/// The part of a block row left of its diagonal block.
at::Tensor left_of_diagonal(const at::Tensor& row) { return row.narrow(1, 0, start_of(row)); }
}  // namespace

SymmetricMatrix::SymmetricMatrix(std::int64_t size, double diagonal) : size_(size) {
  for (std::int64_t first = 0; first < size; first += kBlock) {
    const std::int64_t count = std::min(kBlock, size - first);
    rows_.push_back(at::zeros({count, first + count}, at::kDouble));
    diagonal_block(rows_.back()).fill_diagonal_(diagonal);
  }
}

void SymmetricMatrix::add_gram(const at::Tensor& x, double factor) {
  MNEME_CHECK(x.dim() == 2 && x.size(1) == size_ && x.scalar_type() == at::kDouble,
              "a Gram update needs float64 rows of {} values; found {} of {}", size_, x.size(-1),
              at::toString(x.scalar_type()));
  for (at::Tensor& row : rows_)
    row.addmm_(x.narrow(1, start_of(row), row.size(0)).t(), x.narrow(1, 0, row.size(1)), 1, factor);
}

at::Tensor SymmetricMatrix::product(const at::Tensor& x) const {
  at::Tensor result = at::zeros({x.size(0), size_}, at::kDouble);
  for (const at::Tensor& row : rows_) {
    const std::int64_t start = start_of(row), count = row.size(0);
    result.narrow(1, 0, start + count).addmm_(x.narrow(1, start, count), row);
    if (start > 0) result.narrow(1, start, count).addmm_(x.narrow(1, 0, start), left_of_diagonal(row).t());
  }
  return result;
}

at::Tensor SymmetricMatrix::dense() const {
  at::Tensor result = at::empty({size_, size_}, at::kDouble);
  for (const at::Tensor& row : rows_) {
    result.narrow(0, start_of(row), row.size(0)).narrow(1, 0, row.size(1)).copy_(row);
    result.narrow(1, start_of(row), row.size(0)).narrow(0, 0, row.size(1)).copy_(row.t());
  }
  return result;
}

void SymmetricMatrix::visit_state(StateVisitor& visitor) {
  visitor.integer("size", size_);
  visitor.tensors("rows", rows_);
}

CholeskyFactor::CholeskyFactor(const SymmetricMatrix& a, double shift) {
  double largest = 0;
  for (const at::Tensor& row : a.rows_)
    largest = std::max(largest, diagonal_block(row).diagonal().max().item<double>() + shift);
  const double least = std::numeric_limits<double>::epsilon() * static_cast<double>(a.size_) * largest;
  for (const at::Tensor& source : a.rows_) {
    at::Tensor row = source.clone();
    at::Tensor diagonal = diagonal_block(row);
    diagonal.diagonal().add_(shift);
    for (const at::Tensor& above : rows_) {
      const at::Tensor part = row.narrow(1, start_of(above), above.size(0));
      const at::Tensor rest = part - row.narrow(1, 0, start_of(above)).mm(left_of_diagonal(above).t());
      part.copy_(at::linalg_solve_triangular(diagonal_block(above).t(), rest, /*upper=*/true, /*left=*/false));
    }
    const auto [factor, failed] =
        at::linalg_cholesky_ex(diagonal - left_of_diagonal(row).mm(left_of_diagonal(row).t()));
    const double pivot = failed.item<int>() != 0 ? 0 : factor.diagonal().square().min().item<double>();
    if (!(pivot > least))
      throw Error(
          fmt::format("a matrix of {} rows is not positive definite: with {} added to its diagonal, a pivot is {} "
                      "where more than {:.2g} is needed; add more to the diagonal or give it more, and more "
                      "different, rows",
                      a.size_, shift, pivot == 0 ? "not positive" : fmt::format("{:.2g}", pivot), least));
    diagonal.copy_(factor);
    rows_.push_back(std::move(row));
  }
}

at::Tensor CholeskyFactor::solve(const at::Tensor& b) const {
  at::Tensor x = b.clone();
  const auto own = [&x](const at::Tensor& row) { return x.narrow(0, start_of(row), row.size(0)); };
  for (const at::Tensor& row : rows_) {
    const at::Tensor rest = own(row) - left_of_diagonal(row).mm(x.narrow(0, 0, start_of(row)));
    own(row).copy_(at::linalg_solve_triangular(diagonal_block(row), rest, /*upper=*/false));
  }
  for (auto row = rows_.rbegin(); row != rows_.rend(); ++row) {
    own(*row).copy_(at::linalg_solve_triangular(diagonal_block(*row).t(), own(*row).clone(), /*upper=*/true));
    x.narrow(0, 0, start_of(*row)).sub_(left_of_diagonal(*row).t().mm(own(*row)));
  }
  return x;
}

}  // namespace mneme
