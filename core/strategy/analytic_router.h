#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/adapter/state.h"
#include "core/base/random.h"
#include "core/strategy/memory_need.h"
#include "core/strategy/symmetric_matrix.h"

namespace mneme {

struct AnalyticRouterOptions {
  /// What the ridge regression sees of an input z: "linear" z itself, "random_linear" z P, "random_relu" max(z P, 0),
  /// with P [d, width] of independent normals of standard deviation 0.02.
  std::string features = "linear";
  std::int64_t width = 10000;  ///< E, features of the random maps
  double lambda = 100;         ///< ridge coefficient; 0 asks for a regular Gram matrix
  /// Weights the rows of each call of learn() as if it had brought kBalancedRows of them, so that large classes do not
  /// win by their size alone.
  bool balanced = false;
  /// Keeps the inverse of the regularised Gram matrix and updates it (Woodbury) instead of accumulating the Gram matrix
  /// and solving (Cholesky). The same weights, more work, larger rounding errors; lambda cannot be 0.
  bool recursive = false;
  std::int64_t block = 256;  ///< rows whose features exist at the same time

  /// Throws Error if the options contradict each other.
  void check() const;
};

/// A classifier by ridge regression on one-hot targets whose sequential fit equals the joint one: for any order of the
/// classes and any division of their rows, W = (XᵀX + lambda I)⁻¹ XᵀY over all rows seen so far, in float64.
/// What that does not promise: a class that resembles an old one moves the old one's weights, as joint training would.
/// Source: Tong et al. 2025, "Any-SSR"; Zhuang et al. 2022, "ACIL"; balanced rows are related to AIR.
class AnalyticRouter {
 public:
  static constexpr double kBalancedRows = 1000;

  /// \param random draws P; an equal stream gives an equal map
  AnalyticRouter(AnalyticRouterOptions options, RandomStream random);

  /// Takes in the rows of one class. \param inputs [N, d], any floating type; N may be 0: a class without rows has
  /// weights of exactly zero.
  void learn(std::int64_t label, const at::Tensor& inputs);

  /// Scores float64 [N, K] of inputs [N, d], columns as in labels(). Throws Error if the system is singular.
  at::Tensor scores(const at::Tensor& inputs);
  /// The label with the largest score for each input. Throws Error if there is no class.
  std::vector<std::int64_t> route(const at::Tensor& inputs);

  const std::vector<std::int64_t>& labels() const { return labels_; }  ///< in order of their first appearance
  const at::Tensor& weights();                                         ///< W, float64 [E, K]
  at::Tensor features(const at::Tensor& inputs);                       ///< float64 [N, E]
  /// XᵀX [E, E]; in the recursive form (XᵀX + lambda I)⁻¹.
  const SymmetricMatrix& system() const { return gram_; }

  void visit_state(StateVisitor& visitor);

  /// What a router of these options takes. \param inputs d
  static MemoryNeed memory(const AnalyticRouterOptions& options, std::int64_t inputs);

 private:
  void begin(std::int64_t inputs);
  std::int64_t column_of(std::int64_t label);
  void accumulate(const at::Tensor& x, const at::Tensor& y);
  void recurse(const at::Tensor& x, const at::Tensor& y);

  AnalyticRouterOptions options_;
  RandomStream random_;
  at::Tensor map_;  // P, float32 [d, E]: drawn anew after loading
  std::int64_t inputs_ = 0;
  std::vector<std::int64_t> labels_;
  SymmetricMatrix gram_;  // XᵀX; recursive: (XᵀX + lambda I)⁻¹
  at::Tensor targets_;    // XᵀY [E, K]; not recursive
  at::Tensor weights_;    // undefined while they are to be solved for
};

}  // namespace mneme
