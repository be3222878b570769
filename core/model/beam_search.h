#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "core/model/generate.h"

namespace mneme::model {

/// Beam search for one prompt: which continuations go on and which are finished, in the order of decisions of
/// transformers, whose answers it gives.
class BeamSearch {
 public:
  struct Beam {
    std::vector<std::int32_t> tokens{};  ///< behind the prompt
    float score = 0;                     ///< sum of log-probabilities; of a finished one divided by its length penalty
    std::int64_t source = 0;             ///< beam of the step before that it continues
    bool finished = false;
  };
  /// \param stops whether an answer ends with its last token
  BeamSearch(const BeamOptions& options, const GenerateJob& job,
             std::function<bool(std::span<const std::int32_t>)> stops);

  /// Continues all beams by a token. \param log_probabilities float [beams, V] of the next token of each
  void advance(const at::Tensor& log_probabilities);

  bool done() const { return done_; }
  const std::vector<Beam>& running() const { return running_; }
  const std::vector<std::int32_t>& best() const { return finished_.front().tokens; }

 private:
  std::vector<Beam> candidates(const at::Tensor& log_probabilities) const;
  void keep_running(const std::vector<Beam>& candidates);
  void keep_finished(std::vector<Beam> candidates);
  bool all_finished() const;

  BeamOptions options_;
  const GenerateJob& job_;
  std::function<bool(std::span<const std::int32_t>)> stops_;
  std::int64_t length_ = 0;
  std::vector<Beam> running_, finished_;
  bool may_improve_ = true, done_ = false;
};

}  // namespace mneme::model
