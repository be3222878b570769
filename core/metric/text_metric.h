#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::metric {

/// One prediction with what it is held against. All texts are UTF-8; bytes that are not count as U+FFFD.
struct Sample {
  std::string prediction;
  std::vector<std::string> references;  ///< at least one; the best one counts, unless the metric says otherwise
  std::string source;                   ///< the text that was to be rewritten; read where needs_source
  std::string group;  ///< rows that count as one, for instance "dialogue|turn"; read where needs_group
};

/// A score over samples; all values lie in [0, 1].
struct Score {
  double value = 0;
  std::vector<double> per_example;  ///< parallel to the samples; where mean_over_examples, value is mean_of() it
};

/// A text metric by name. `formula` says in words and symbols what is computed, precisely enough to repeat it.
struct TextMetric {
  std::string id;
  std::string version;  ///< changes whenever a score may change
  std::string formula;
  bool mean_over_examples = true;  ///< whether value is the mean of per_example
  bool needs_source = false;
  bool needs_group = false;
  /// Throws DataError for no samples, a sample without references, and, where needed, without source or group.
  Score (*score)(std::span<const Sample>) = nullptr;
};

/// Every text metric, sorted by id.
const std::vector<TextMetric>& text_metrics();

/// The metric of that id. Throws DataError with the nearest known id.
const TextMetric& text_metric(std::string_view id);

/// The mean as every Score is computed: the sum from left to right, divided by the number. Throws Error for none.
double mean_of(std::span<const double> values);

}  // namespace mneme::metric
