#pragma once

#include <ATen/core/Tensor.h>

namespace mneme {

// Unit-wise fusion of old and new parameters, steered by what each unit is worth to old and to new tasks.
// Source: Feng et al. 2024, "KIF" (arXiv 2408.05200) and "TaSL" (arXiv 2408.09857).

/// Maps [units] to [0, 1] by the smallest and largest value; all zero where these are equal. float64.
at::Tensor min_max_normalised(const at::Tensor& importance);

struct HardFusion {
  double quantile = 0.8;      ///< a unit is important if it lies above this quantile of all units
  double shared_keep = 0.7;   ///< part of the old values kept where a unit is important to both
  double neutral_keep = 0.5;  ///< the same where it is important to neither
};

/// The part of its old values that each unit keeps, float64 [units]: all where it is important to the old tasks alone,
/// nothing where to the new one alone. \param old_worth, new_worth: [units], normalised.
at::Tensor hard_keep(const at::Tensor& old_worth, const at::Tensor& new_worth, const HardFusion& options);

/// The same by a softmax over the two worths: exp(o / t) / (exp(o / t) + exp(n / t)).
at::Tensor soft_keep(const at::Tensor& old_worth, const at::Tensor& new_worth, double temperature);

/// values <- keep · old + (1 - keep) · values, in place, all [n]. Exact where keep is 0 or 1, and where old and new
/// values are equal.
void fuse(at::Tensor& values, const at::Tensor& old_values, const at::Tensor& keep);

}  // namespace mneme
