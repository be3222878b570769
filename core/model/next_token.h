#pragma once

#include <cstdint>
#include <span>

#include "core/base/random.h"
#include "core/model/generate.h"

namespace mneme::model {

/// Makes tokens of the history less likely (penalty > 1): positive scores are divided by it, negative ones multiplied.
/// Source: Keskar et al. 2019, "CTRL".
void penalise_repetition(std::span<float> scores, std::span<const std::int32_t> history, double penalty);

/// Index of the first of the largest scores.
std::int32_t likeliest(std::span<const float> scores);

/// Draws a token: temperature, then top-k, then top-p.
std::int32_t draw(std::span<const float> logits, const Sampling& sampling, RandomStream& random);

}  // namespace mneme::model
