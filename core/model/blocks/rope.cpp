#include "core/model/blocks/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mneme::model::blocks {
namespace {

/// The llama3 rule: long waves are slowed by the factor, short ones kept, those between are blended.
float llama3_frequency(float frequency, const RopeScaling& s) {
  const auto original = static_cast<double>(s.original_max_position_embeddings);
  const auto factor = static_cast<float>(s.factor), low = static_cast<float>(s.low_freq_factor),
             range = static_cast<float>(s.high_freq_factor - s.low_freq_factor);
  const float wavelength = 1 / frequency * static_cast<float>(2 * std::numbers::pi);
  if (wavelength < static_cast<float>(original / s.high_freq_factor)) return frequency;
  if (wavelength > static_cast<float>(original / s.low_freq_factor)) return frequency / factor;
  const float smooth = (1 / wavelength * static_cast<float>(original) - low) / range;
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

RopeTable::RopeTable(std::int64_t head_dim, double theta, const RopeScaling& scaling, at::Device device)
    : device_(device) {
  // In fp32 and in the order of Hugging Face's operations, with torch's own power function: positions of thousands
  // multiply a frequency's last digit.
  const at::Tensor exponents = at::arange(0, head_dim, 2, at::kFloat) / static_cast<double>(head_dim);
  const at::Tensor powers = at::pow(theta, exponents);
  for (std::int64_t j = 0; j < head_dim / 2; ++j) {
    float frequency = 1 / powers.const_data_ptr<float>()[j];
    if (scaling.type == "linear") frequency /= static_cast<float>(scaling.factor);
    if (scaling.type == "llama3") frequency = llama3_frequency(frequency, scaling);
    frequencies_.push_back(frequency);
  }
}

std::shared_ptr<const RopeTable::Values> RopeTable::at_least(std::int64_t positions) const {
  const std::lock_guard lock(mutex_);
  if (values_ && values_->positions() >= positions) return values_;
  constexpr std::int64_t kFirst = 512;
  const std::int64_t size = std::max({positions, kFirst, values_ ? 2 * values_->positions() : 0});
  const auto half = static_cast<std::int64_t>(frequencies_.size());
  const at::Tensor made_cosines = at::empty({size, half}, at::kFloat), made_sines = at::empty({size, half}, at::kFloat);
  float* cosines = made_cosines.data_ptr<float>();
  float* sines = made_sines.data_ptr<float>();
  for (std::int64_t p = 0; p < size; ++p) {
    for (std::int64_t j = 0; j < half; ++j) {
      // The angle is rounded to fp32 as Hugging Face's is, so that long positions agree.
      const float angle = static_cast<float>(p) * frequencies_[static_cast<std::size_t>(j)];
      cosines[p * half + j] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sines[p * half + j] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  values_ = std::make_shared<Values>(Values{made_cosines.to(device_), made_sines.to(device_)});
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
