#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/adapters.h"
#include "core/model/config.h"

namespace mneme::model {

/// One training step whose memory is asked for. Rows are tokens of a micro-batch, sequences end to end.
struct TrainingCase {
  c10::ScalarType dtype = c10::ScalarType::Float;  ///< of the frozen weights
  std::int64_t rows = 0;                           ///< that the decoder reads, or a model without encoder
  std::int64_t source_rows = 0;                    ///< that an encoder reads
  std::int64_t labels = 0;
  std::int64_t passes = 1;              ///< that these are divided into, before one backward pass
  std::vector<std::int64_t> adapted{};  ///< linears with a low-rank adapter; empty and full = false: inference
  std::int64_t trained = 0;             ///< trained parameters
  bool full = false;                    ///< all weights are trained
  bool recompute = false;
};

/// Answers being written whose memory is asked for.
struct AnsweringCase {
  c10::ScalarType dtype = c10::ScalarType::Float;
  std::int64_t slots = 1;       ///< answers at once
  std::int64_t prompt = 0;      ///< tokens of the longest prompt
  std::int64_t new_tokens = 0;  ///< of the longest answer
};

/// Bytes at the peak on the CPU, of a step or of a run.
struct MemoryEstimate {
  double weights = 0;      ///< as they are in files, in the dtype of the case
  double packed = 0;       ///< copies in the order of the fp32 kernels
  double training = 0;     ///< trained parameters, their gradients and moments
  double activations = 0;  ///< kept for the backward pass; of answers their keys and values
  double transient = 0;    ///< the largest of what a single operation needs beside them
  double program = 0;      ///< libraries
  double method = 0;       ///< of a run: what its method takes beside all this
  double answering = 0;    ///< of a run: what answering takes beyond what training does

  double total() const { return weights + packed + training + activations + transient + program + method + answering; }
};

/// Counts what the blocks keep; sequences' lengths matter only by their sum.
MemoryEstimate estimate_memory(const TransformerConfig& config, const TrainingCase& step);

/// Counts the cache of keys and values, and the pass that reads the prompts of all slots at once.
MemoryEstimate estimate_answering(const TransformerConfig& config, const AnsweringCase& answers);

/// The linears that a model of this config has, as Transformer::linears() gives them.
std::vector<LinearInfo> linears_of(const TransformerConfig& config);

/// Number of weights. Tied ones count once.
std::int64_t parameter_count(const TransformerConfig& config);

/// "1.24 GB".
std::string bytes_text(double bytes);

}  // namespace mneme::model
