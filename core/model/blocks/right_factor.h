#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace mneme::model::blocks {

/// Rows up to which a product waits for its right factor to come from memory: each thread reads a part of the columns
/// then, where else each would read all of them.
constexpr std::int64_t kFewRows = 64;

/// A matrix B [k, n] on the CPU that others are multiplied with, A [R, k] · B in fp32, brought into the order in which
/// that is fastest: for the fp32 kernels, or for the CPU's matrix unit. Safe to use from several threads.
class RightFactor {
 public:
  /// \param matrix fp32, or bf16 on the unit; one of its strides is 1
  RightFactor(const at::Tensor& matrix, bool on_unit);

  std::int64_t columns() const { return matrix_.size(1); }
  /// Floating point operations per row of A.
  double work_per_row() const { return 2.0 * static_cast<double>(matrix_.numel()); }

  /// Brings B into order, by all threads, before many rows are multiplied.
  void prepare() const { packed(); }
  /// Some rows of A times B -> into [rows, n], in the calling thread. \param left A, contiguous, of B's dtype
  void multiply_rows(const at::Tensor& left, std::int64_t row, std::int64_t rows, float* into) const;

  /// A of few rows times B -> into [R, n]; the threads share the columns. The first time panels are brought into order
  /// one by one, in the cache, and forgotten: who asks once never pays for the second copy of a model.
  void multiply_few(const at::Tensor& left, float* into) const;

 private:
  struct Panels;
  Panels panels(std::int64_t first, std::int64_t count) const;
  const at::Tensor& packed() const;
  void pack(const Panels& panels, void* out) const;
  void multiply(const at::Tensor& left, std::int64_t row, std::int64_t rows, const Panels& panels, float* into) const;

  at::Tensor matrix_;
  bool on_unit_;
  std::int64_t panel_;  ///< columns that lie together
  mutable std::once_flag once_;
  mutable at::Tensor packed_;
  mutable std::atomic<bool> asked_ = false;
};

}  // namespace mneme::model::blocks
