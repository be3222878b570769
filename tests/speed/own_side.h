#pragma once

#include <nlohmann/json.hpp>

namespace mneme::speed {

/// Mneme's side of a speed comparison: does one job through the product's own code (learner, trainer, adapter bank,
/// generation, tokenizers) and times it. compare.py writes the jobs and gives the same ones to peer.py, which returns
/// the same fields.
///
/// A job names its `work`, perhaps "matmul_precision" (highest or high), and
///   train     "model", "adapter" (a PEFT directory), "dtype", "learning_rate", "weight_decay", "clip", "batches"
///             [steps][sequences] of {"tokens", "first_label"}. A step is forward, backward, clipping, AdamW.
///             Result: "seconds" and "losses" of each step.
///   generate  "model", "adapter", "dtype", "slots", "prompts", "new_tokens" per prompt, "warm" (further prompts).
///             Result: "seconds" [1] and "answers". Never stops before new_tokens.
///   score     "model", "adapter", "dtype", "slots", "prompts", "candidates", "warm". Result: "seconds" [1], "scores".
///   load      "model", "dtype", "prompt". Result: "seconds" [1] until the prompt's "logits" are there.
///   tokenize  "model", "text" (a file). Result: "seconds" [1], "ids" per line.
///
/// \return the result, with "peak_mb": the most memory that this process ever held, MB (0: the system does not say).
nlohmann::json run_job(const nlohmann::json& job);

}  // namespace mneme::speed
