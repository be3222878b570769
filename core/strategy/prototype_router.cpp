#include "core/strategy/prototype_router.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"

namespace mneme {

void PrototypeRouter::learn(std::int64_t label, const at::Tensor& inputs) {
  MNEME_CHECK(std::find(labels_.begin(), labels_.end(), label) == labels_.end() && inputs.size(0) > 0,
              "class {} is given {} rows; a prototype takes all rows of a new class, and at least one", label,
              inputs.size(0));
  const at::Tensor z = inputs.detach().to(at::kDouble);
  const at::Tensor mean = z.mean(0, /*keepdim=*/true);
  if (labels_.empty()) scatter_ = SymmetricMatrix(z.size(1), 0);
  scatter_.add_gram(z - mean);
  means_ = labels_.empty() ? mean : at::cat({means_, mean});
  labels_.push_back(label);
  rows_ += z.size(0);
  directions_ = at::Tensor();
}

at::Tensor PrototypeRouter::scores(const at::Tensor& inputs) {
  MNEME_CHECK(!labels_.empty(), "the router has not learnt a class yet");
  const auto rows = static_cast<double>(rows_);
  if (!directions_.defined())
    directions_ = with_context(fmt::format("inverting a shared covariance with lambda {}", lambda_),
                               [&] { return CholeskyFactor(scatter_, lambda_ * rows).solve(means_.t() * rows); });
  const at::Tensor offsets = 0.5 * (means_ * directions_.t()).sum(1);
  return inputs.detach().to(at::kDouble).mm(directions_) - offsets;
}

void PrototypeRouter::visit_state(StateVisitor& visitor) {
  visitor.integers("labels", labels_);
  visitor.object("scatter", scatter_);
  visitor.integer("rows", rows_);
  visitor.tensor("means", means_);
  if (visitor.loading()) directions_ = at::Tensor();
}

}  // namespace mneme
