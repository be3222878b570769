#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/model/blocks/group_linear.h"
#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {

inline const float* floats(const at::Tensor& t) { return t.const_data_ptr<float>(); }

/// fp32, uninitialised, without autograd.
at::Tensor new_matrix(std::int64_t rows, std::int64_t columns);

/// Runs each product in pieces of columns over the threads.
void run_products(const std::vector<kernels::Gemm>& products);

/// Some rows of a backward pass, in fp32.
struct GradientRows {
  const float* dy = nullptr;     ///< the first of the rows
  std::int64_t columns = 0;      ///< row stride of dy
  const float* input = nullptr;  ///< the same rows of LowRankTerm::input()
  std::int64_t row = 0, rows = 0;
  std::int64_t block = 0;   ///< which sum they belong to
  bool starts_sum = false;  ///< whether they are the first of their sum
};

/// One low-rank adapter on the columns of one call of fused_linear(): the parts that lie there, and its products.
class LowRankTerm {
 public:
  LowRankTerm(const LowRankDelta& delta, std::int64_t columns, const GroupDeltas& deltas, const BlockContext& context);

  bool empty() const { return parts_.empty(); }
  bool dropout() const { return dropout_ > 0; }
  bool gated() const { return !row_gate_.empty(); }
  /// Throws Error if the parameters were written to since the term was made.
  void check_unchanged() const;

  /// For a forward pass that no backward pass follows: rows whose gate is 0 are left out.
  void skip_closed_rows() { skips_closed_ = gated(); }
  /// Before the products of a pass: packs the factors; draws dropout(x).
  void prepare_forward(const at::Tensor& x);
  /// dropout(x) of the pass, in x's type.
  const at::Tensor& input() const { return input_; }
  /// Some rows of a forward pass, in fp32.
  struct Rows {
    std::int64_t row = 0, rows = 0;
    const float* input = nullptr;  ///< of input()
    float* y = nullptr;
    std::int64_t columns = 0;  ///< row stride of y
  };
  /// u = dropout(x) Aᵀ and y += gate·u·(scale·Bᵀ).
  void forward_rows(const Rows& rows) const;
  /// Frees what only the forward pass needs.
  void finish_forward();

  /// \param x undefined if the slice needs no gradient
  /// \param sums how many sums over rows the slice's gradient is made of
  void prepare_backward(const at::Tensor& x, std::int64_t rows, std::int64_t sums);
  /// du = dy · scale·B for some rows of dy. \param dy the first of the rows
  void backward_rows(const float* dy, std::int64_t columns, std::int64_t row, std::int64_t rows) const;
  /// dx += gate·du A for some rows, for a term without dropout. \param dx the first of the rows
  void add_input_gradient(std::int64_t row, std::int64_t rows, float* dx) const;
  /// dx += mask · (gate·du A) for all rows, for a term with dropout.
  void add_dropped_gradient(const at::Tensor& dx) const;
  /// d gate[s] = Σ over the sequence's rows of ⟨u, du⟩.
  at::Tensor gate_gradient() const;
  /// The products dA += (gate·du)ᵀ dropout(x) and dBᵀ += (gate·u)ᵀ dy over some rows; overwriting where a sum starts.
  /// \param space keeps temporary operands alive
  void append_products(const GradientRows& rows, std::vector<kernels::Gemm>& products,
                       std::vector<at::Tensor>& space) const;
  /// Gradient of the slice after all of these products.
  at::Tensor slice_gradient() const;

 private:
  struct Part {
    std::int64_t column = 0, out = 0;  ///< in this call's output
    std::int64_t up = 0;               ///< where B [out, rank] starts in the slice
    at::Tensor packed{};               ///< scale·Bᵀ in the forward pass, scale·B in the backward pass
    at::Tensor gradient{};             ///< dBᵀ [sums, rank, out] without the scale: wide rows are faster than narrow
  };

  std::int64_t rank() const { return layout_->rank; }
  std::int64_t width() const { return rank() * static_cast<std::int64_t>(parts_.size()); }
  void forward_run(const Rows& rows) const;
  std::int64_t stride() const;  ///< of rows of u and du: room for whole vectors behind the last part
  const float* a() const { return floats(slice_) + down_; }
  const float* b(const Part& part) const { return floats(slice_) + part.up; }
  at::Tensor dropped(const at::Tensor& x) const;
  /// Rows of u or du times their gates; the rows themselves where there is no gate (`space` stays undefined then).
  const float* gated_rows(const at::Tensor& matrix, std::int64_t row, std::int64_t rows, at::Tensor& space) const;

  std::shared_ptr<const LowRankLayout> layout_;
  std::vector<Part> parts_;
  std::int64_t down_ = 0;  ///< where the first part's A starts in the slice
  double scale_, dropout_ = 0;
  std::uint64_t seed_ = 0;
  at::Tensor slice_;
  std::int64_t version_;
  at::Tensor gate_;
  std::vector<std::int64_t> offsets_;  ///< sequences of the rows, where there is a gate
  std::vector<float> row_gate_;        ///< per row; empty without a gate
  bool skips_closed_ = false;
  at::Tensor input_;          ///< dropout(x), during a pass
  at::Tensor packed_down_;    ///< Aᵀ, during the forward pass
  at::Tensor down_gradient_;  ///< dA [sums, width, in], during the backward pass
  at::Tensor u_, du_;         ///< [R, stride], without the gate
};

}  // namespace mneme::model::blocks
