#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/model/config.h"

namespace mneme::model::blocks {

/// Cosines and sines of the rotary positions (Su et al. 2021), in the half-split convention of Hugging Face: element j
/// of a head is rotated together with element j + head_dim/2. Grows on demand; safe to read from several threads.
class RopeTable {
 public:
  /// fp32 [positions, head_dim/2] each, contiguous, on the table's device.
  struct Values {
    at::Tensor cosines, sines;
    std::int64_t positions() const { return cosines.size(0); }
  };

  RopeTable(std::int64_t head_dim, double theta, const RopeScaling& scaling, at::Device device = at::kCPU);

  /// A table of at least so many positions; it stays valid when a later call makes a larger one.
  std::shared_ptr<const Values> at_least(std::int64_t positions) const;

  /// The rotation per position of each pair, head_dim/2 values.
  const std::vector<float>& frequencies() const { return frequencies_; }

 private:
  at::Device device_;
  std::vector<float> frequencies_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Values> values_;
};

/// x [rows, heads, head_dim] rotated to the given positions [rows] (on its device); plain ATen, differentiable.
at::Tensor rotated(const at::Tensor& x, const at::Tensor& positions, const RopeTable::Values& rope);

}  // namespace mneme::model::blocks
