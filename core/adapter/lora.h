#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model/adapters.h"

namespace mneme {

/// A low-rank adapter. Source: Hu et al. 2021, "LoRA"; names and defaults as in PEFT.
struct LoraOptions {
  std::int64_t rank = 8;
  double alpha = 16;   ///< the update is alpha / rank · B A x
  double dropout = 0;  ///< on the input of A, in training
  /// Which linears: the end of a module path ("q_proj", "self_attn.q_proj"), a regular expression that matches a whole
  /// path (whatever holds a character other than letters, digits, '_', '.' and '-'), or "all-linear".
  std::vector<std::string> targets = {"q_proj", "v_proj"};
  std::int64_t first_layer = 0;                        ///< no adapter below this layer
  std::map<std::string, std::int64_t> rank_pattern{};  ///< rank of linears whose path ends in a match of the key
  std::map<std::string, double> alpha_pattern{};       ///< alpha, likewise
  bool rank_stabilised = false;                        ///< scale alpha / sqrt(rank). Source: Kalajdzievski 2023
};

/// One adapted linear.
struct LoraTarget {
  std::int64_t linear;  ///< index in Transformer::linears()
  std::int64_t rank;
  double scale;
};

/// The linears that options adapt, ascending. Throws Error with the nearest name for a target that none matches.
std::vector<LoraTarget> lora_targets(const LoraOptions& options, const std::vector<model::LinearInfo>& linears);

/// Whether a target is a regular expression.
bool is_pattern(const std::string& target);

}  // namespace mneme
