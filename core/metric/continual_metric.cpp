#include "core/metric/continual_metric.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme::metric {

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// R and S with indices from 1, as formulas have them.
class Matrix {
 public:
  explicit Matrix(const ContinualInput& input) : input_(input), tasks_(static_cast<int>(input.scores.size()) - 1) {
    if (tasks_ < 1) throw DataError(fmt::format("R has {} rows; expected T+1 with T >= 1", input.scores.size()));
    for (std::size_t i = 0; i < input.scores.size(); ++i) {
      if (input.scores[i].size() != static_cast<std::size_t>(tasks_))
        throw DataError(fmt::format("R: row {} has {} columns; expected {}, one less than the {} rows", i,
                                    input.scores[i].size(), tasks_, input.scores.size()));
    }
    if (!input.single.empty() && input.single.size() != static_cast<std::size_t>(tasks_))
      throw DataError(fmt::format("S has {} values; expected {}, one per task, or none", input.single.size(), tasks_));
  }

  int tasks() const { return tasks_; }
  /// R[after][task], task from 1.
  double operator()(int after, int task) const {
    return input_.scores[static_cast<std::size_t>(after)][static_cast<std::size_t>(task - 1)];
  }
  /// S[task], NaN if there is none.
  double single(int task) const {
    return input_.single.empty() ? kNaN : input_.single[static_cast<std::size_t>(task - 1)];
  }

  /// Sum of f(j) for j in first..last.
  template <class F>
  static double sum(int first, int last, F&& f) {
    double total = 0;
    for (int j = first; j <= last; ++j) total += f(j);
    return total;
  }

 private:
  const ContinualInput& input_;
  int tasks_;
};

double ratio(double sum, int count) { return count > 0 ? sum / count : kNaN; }

/// The larger of two, NaN if either is.
double max_or_nan(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b); }

double change_since_learnt(const Matrix& r) {
  const int t = r.tasks();
  return Matrix::sum(1, t - 1, [&](int j) { return r(t, j) - r(j, j); });
}

double aa_last(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(1, r.tasks(), [&](int j) { return r(r.tasks(), j); }), r.tasks());
}

double aa_incr(const ContinualInput& input) {
  const Matrix r(input);
  const auto row_mean = [&](int i) { return Matrix::sum(1, i, [&](int j) { return r(i, j); }) / i; };
  return ratio(Matrix::sum(1, r.tasks(), row_mean), r.tasks());
}

double bwt_gem(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(change_since_learnt(r), r.tasks() - 1);
}

double bwt_sapt(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(change_since_learnt(r), r.tasks());
}

double bwt_treelora(const ContinualInput& input) {
  const Matrix r(input);
  const int t = r.tasks();
  const auto loss = [&](int j) { return -max_or_nan(0, r(j, j) - r(t, j)); };
  return ratio(Matrix::sum(1, t - 1, loss), t);
}

double fgt_max(const ContinualInput& input) {
  const Matrix r(input);
  const int t = r.tasks();
  const auto drop = [&](int j) {
    double best = r(j, j);
    for (int i = j + 1; i < t; ++i) best = max_or_nan(best, r(i, j));
    return best - r(t, j);
  };
  return ratio(Matrix::sum(1, t - 1, drop), t - 1);
}

double fgt_sapt(const ContinualInput& input) {
  const Matrix r(input);
  const int t = r.tasks();
  const auto drop = [&](int j) {
    double best = r(j, j);
    for (int i = 1; i < t; ++i) best = max_or_nan(best, i < j && std::isnan(r(i, j)) ? 0.0 : r(i, j));
    return best - r(t, j);
  };
  return ratio(Matrix::sum(1, t - 1, drop), t - 1);
}

double fgt_diag(const ContinualInput& input) { return -bwt_gem(input); }

double fwt_gem(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(2, r.tasks(), [&](int j) { return r(j - 1, j) - r(0, j); }), r.tasks() - 1);
}

double fwt_kif(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(2, r.tasks(), [&](int j) { return r(j - 1, j); }), r.tasks() - 1);
}

double fwt_single(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(1, r.tasks(), [&](int j) { return r(j, j) - r.single(j); }), r.tasks());
}

double intransigence(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(1, r.tasks(), [&](int j) { return r.single(j) - r(j, j); }), r.tasks());
}

double plasticity(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(1, r.tasks(), [&](int j) { return r(j, j); }), r.tasks());
}

double zero_shot(const ContinualInput& input) {
  const Matrix r(input);
  return ratio(Matrix::sum(1, r.tasks(), [&](int j) { return r(0, j); }), r.tasks());
}
}  // namespace

const std::vector<ContinualMetric>& continual_metrics() {
  static const std::vector<ContinualMetric> metrics = {
      {"aa.incr", "1",
       "1/T sum_i 1/i sum_{j<=i} R[i][j]: the mean over all stages of the mean over the tasks seen so far", true, false,
       aa_incr},
      {"aa.last", "1", "1/T sum_j R[T][j]; TRACE's OP, SAPT's AP, TaSL's Avg. JGA", true, false, aa_last},
      {"aa.zero", "1", "1/T sum_j R[0][j]: before any training", true, false, zero_shot},
      {"bwt.gem", "1", "1/(T-1) sum_{j<T} (R[T][j] - R[j][j]); the BWT of GEM, TRACE, TaSL and KIF", true, false,
       bwt_gem},
      {"bwt.sapt", "1", "1/T sum_{j<T} (R[T][j] - R[j][j]); SAPT's script", true, false, bwt_sapt},
      {"bwt.treelora", "1", "1/T sum_{j<T} min(0, R[T][j] - R[j][j]); TreeLoRA's script: gains do not count", true,
       false, bwt_treelora},
      {"fgt.diag", "1", "-bwt.gem; Avalanche's forgetting", false, false, fgt_diag},
      {"fgt.max", "1", "1/(T-1) sum_{j<T} (max_{j<=i<T} R[i][j] - R[T][j])", false, false, fgt_max},
      {"fgt.sapt", "1",
       "1/(T-1) sum_{j<T} (max_{1<=i<T} R[i][j] - R[T][j]); stages before task j count as 0 where they were not "
       "evaluated",
       false, false, fgt_sapt},
      {"fwt.gem", "1", "1/(T-1) sum_{j>=2} (R[j-1][j] - R[0][j])", true, false, fwt_gem},
      {"fwt.kif", "1", "1/(T-1) sum_{j>=2} R[j-1][j]; TaSL and KIF: no baseline taken off", true, false, fwt_kif},
      {"fwt.single", "1", "1/T sum_j (R[j][j] - S[j]); SAPT's FWT with measured single-task scores", true, true,
       fwt_single},
      {"intransigence", "1", "1/T sum_j (S[j] - R[j][j])", false, true, intransigence},
      {"plasticity", "1", "1/T sum_j R[j][j]", true, false, plasticity},
  };
  return metrics;
}

const ContinualMetric& continual_metric(std::string_view id) {
  std::vector<std::string> ids;
  for (const ContinualMetric& metric : continual_metrics()) {
    if (metric.id == id) return metric;
    ids.push_back(metric.id);
  }
  throw DataError(fmt::format("unknown continual metric '{}'{}", id, hint(id, ids)));
}

}  // namespace mneme::metric
