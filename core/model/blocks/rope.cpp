#include "core/model/blocks/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mneme::model::blocks {
namespace {

/// The llama3 rule: long waves are slowed by the factor, short ones kept, those between are blended.
double llama3_frequency(double frequency, const RopeScaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(s.original_max_position_embeddings);
  if (wavelength < original / s.high_freq_factor) return frequency;
  if (wavelength > original / s.low_freq_factor) return frequency / s.factor;
  const double smooth = (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

}  // namespace

RopeTable::RopeTable(std::int64_t head_dim, double theta, const RopeScaling& scaling) {
  for (std::int64_t j = 0; j < head_dim / 2; ++j) {
    double frequency = 1 / std::pow(theta, static_cast<double>(2 * j) / static_cast<double>(head_dim));
    if (scaling.type == "linear") frequency /= scaling.factor;
    if (scaling.type == "llama3") frequency = llama3_frequency(frequency, scaling);
    frequencies_.push_back(static_cast<float>(frequency));
  }
}

std::shared_ptr<const RopeTable::Values> RopeTable::at_least(std::int64_t positions) const {
  const std::lock_guard lock(mutex_);
  if (values_ && values_->positions() >= positions) return values_;
  constexpr std::int64_t kFirst = 512;
  const std::int64_t size = std::max({positions, kFirst, values_ ? 2 * values_->positions() : 0});
  const auto half = static_cast<std::int64_t>(frequencies_.size());
  auto values = std::make_shared<Values>();
  values->cosines = at::empty({size, half}, at::kFloat);
  values->sines = at::empty({size, half}, at::kFloat);
  float* cosines = values->cosines.data_ptr<float>();
  float* sines = values->sines.data_ptr<float>();
  for (std::int64_t p = 0; p < size; ++p) {
    for (std::int64_t j = 0; j < half; ++j) {
      // The angle is rounded to fp32 as Hugging Face's is, so that long positions agree.
      const float angle = static_cast<float>(p) * frequencies_[static_cast<std::size_t>(j)];
      cosines[p * half + j] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sines[p * half + j] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  values_ = values;
  return values_;
}

at::Tensor rotated(const at::Tensor& x, const at::Tensor& positions, const RopeTable::Values& rope) {
  const std::int64_t half = x.size(2) / 2;
  const at::Tensor cosines = rope.cosines.index_select(0, positions).unsqueeze(1).to(x.options());
  const at::Tensor sines = rope.sines.index_select(0, positions).unsqueeze(1).to(x.options());
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  return at::cat({first * cosines - second * sines, second * cosines + first * sines}, 2);
}

}  // namespace mneme::model::blocks
