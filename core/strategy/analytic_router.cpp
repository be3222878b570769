#include "core/strategy/analytic_router.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace mneme {

namespace {
constexpr double kMapDeviation = 0.02;

at::Tensor draw_map(std::int64_t inputs, std::int64_t width, RandomStream random) {
  at::Tensor map = at::empty({inputs, width}, at::kFloat);
  float* values = map.data_ptr<float>();
  for (std::int64_t i = 0; i < map.numel(); ++i) values[i] = static_cast<float>(kMapDeviation * random.normal());
  return map;
}

at::Tensor with_column(const at::Tensor& matrix) { return at::constant_pad_nd(matrix, {0, 1}, 0); }
}  // namespace

void AnalyticRouterOptions::check() const {
  MNEME_CHECK(lambda >= 0, "the ridge coefficient is {}; it must not be negative", lambda);
  MNEME_CHECK(
      !recursive || lambda > 0,
      "the recursive form starts from the inverse of lambda·I and needs lambda > 0; found 0. Use the accumulated "
      "form, or a small lambda");
}

AnalyticRouter::AnalyticRouter(AnalyticRouterOptions options, RandomStream random)
    : options_(std::move(options)), random_(random) {
  options_.check();
}

void AnalyticRouter::begin(std::int64_t inputs) {
  if (inputs_ == 0) {
    inputs_ = inputs;
    const std::int64_t width = options_.features == "linear" ? inputs : options_.width;
    gram_ = SymmetricMatrix(width, options_.recursive ? 1 / options_.lambda : 0);
    (options_.recursive ? weights_ : targets_) = at::zeros({width, 0}, at::kDouble);
  }
  MNEME_CHECK(inputs == inputs_, "the router was fitted to inputs of {} values; found {}", inputs_, inputs);
  if (options_.features != "linear" && !map_.defined()) map_ = draw_map(inputs_, gram_.size(), random_);
}

at::Tensor AnalyticRouter::features(const at::Tensor& inputs) {
  begin(inputs.size(1));
  const at::Tensor z = inputs.detach().to(at::kDouble);
  if (options_.features == "linear") return z;
  // In float64 and by columns of P, so that neither the division into blocks nor a second P is felt.
  at::Tensor x = at::empty({z.size(0), gram_.size()}, at::kDouble);
  constexpr std::int64_t kColumns = 512;
  for (std::int64_t first = 0; first < x.size(1); first += kColumns) {
    const std::int64_t count = std::min(kColumns, x.size(1) - first);
    x.narrow(1, first, count).copy_(z.mm(map_.narrow(1, first, count).to(at::kDouble)));
  }
  return options_.features == "random_relu" ? x.relu_() : x;
}

std::int64_t AnalyticRouter::column_of(std::int64_t label) {
  const auto at = std::find(labels_.begin(), labels_.end(), label);
  if (at != labels_.end()) return at - labels_.begin();
  labels_.push_back(label);
  // No row so far had this target: its column of XᵀY is zero, and so is its column of W.
  if (targets_.defined()) targets_ = with_column(targets_);
  if (weights_.defined()) weights_ = with_column(weights_);
  return static_cast<std::int64_t>(labels_.size()) - 1;
}

void AnalyticRouter::learn(std::int64_t label, const at::Tensor& inputs) {
  begin(inputs.size(1));
  const std::int64_t column = column_of(label), rows = inputs.size(0);
  const double weight = options_.balanced ? std::sqrt(kBalancedRows / static_cast<double>(rows)) : 1;
  for (std::int64_t first = 0; first < rows; first += options_.block) {
    at::Tensor x = features(inputs.narrow(0, first, std::min(options_.block, rows - first)));
    if (weight != 1) x = x * weight;
    at::Tensor y = at::zeros({x.size(0), static_cast<std::int64_t>(labels_.size())}, at::kDouble);
    y.select(1, column).fill_(weight);
    options_.recursive ? recurse(x, y) : accumulate(x, y);
  }
}

void AnalyticRouter::accumulate(const at::Tensor& x, const at::Tensor& y) {
  gram_.add_gram(x);
  targets_.addmm_(x.t(), y);
  weights_ = at::Tensor();
}

void AnalyticRouter::recurse(const at::Tensor& x, const at::Tensor& y) {
  // S = I + X R Xᵀ = L Lᵀ, Z = L⁻¹ X R: R -= Zᵀ Z stays symmetric, where an explicit inverse of S loses four digits.
  const at::Tensor xr = gram_.product(x);
  const at::Tensor l = at::linalg_cholesky(at::eye(x.size(0), at::kDouble) + xr.mm(x.t()));
  const at::Tensor z = at::linalg_solve_triangular(l, xr, /*upper=*/false);
  const at::Tensor residual = at::linalg_solve_triangular(l, y - x.mm(weights_), /*upper=*/false);
  weights_ = weights_ + z.t().mm(residual);
  gram_.add_gram(z, -1);
}

const at::Tensor& AnalyticRouter::weights() {
  MNEME_CHECK(!labels_.empty(), "the router has not learnt a class yet");
  if (!weights_.defined()) {
    weights_ = with_context(fmt::format("solving the router's ridge regression of {} features with lambda {}",
                                        gram_.size(), options_.lambda),
                            [&] { return CholeskyFactor(gram_, options_.lambda).solve(targets_); });
  }
  return weights_;
}

at::Tensor AnalyticRouter::scores(const at::Tensor& inputs) {
  const at::Tensor& w = weights();
  at::Tensor result = at::empty({inputs.size(0), w.size(1)}, at::kDouble);
  for (std::int64_t first = 0; first < inputs.size(0); first += options_.block) {
    const std::int64_t rows = std::min(options_.block, inputs.size(0) - first);
    result.narrow(0, first, rows).copy_(features(inputs.narrow(0, first, rows)).mm(w));
  }
  return result;
}

std::vector<std::int64_t> AnalyticRouter::route(const at::Tensor& inputs) {
  const at::Tensor best = scores(inputs).argmax(1);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < best.numel(); ++i)
    chosen.push_back(labels_[static_cast<std::size_t>(best.const_data_ptr<std::int64_t>()[i])]);
  return chosen;
}

MemoryNeed AnalyticRouter::memory(const AnalyticRouterOptions& options, std::int64_t inputs) {
  const bool mapped = options.features != "linear";
  constexpr double kRows = 512;  // SymmetricMatrix keeps the blocks on its diagonal whole
  const double width = static_cast<double>(mapped ? options.width : inputs),
               system = 4 * width * (width + std::min(width, kRows)),
               block = 8 * width * static_cast<double>(options.block);
  return {.kept = system + (mapped ? 4 * width * static_cast<double>(inputs) : 0),
          .rest = options.recursive ? 3 * block : system + block};
}

void AnalyticRouter::visit_state(StateVisitor& visitor) {
  visitor.integer("inputs", inputs_);
  visitor.integers("labels", labels_);
  visitor.object("gram", gram_);
  visitor.tensor("targets", targets_);
  if (options_.recursive)
    visitor.tensor("weights", weights_);
  else if (visitor.loading())
    weights_ = at::Tensor();
}

}  // namespace mneme
