#include "core/model/blocks/rope.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
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
  const c10::NoGradGuard no_grad;
  // As Hugging Face's: the angle rounded to fp32, so that long positions agree, and torch's own cosine.
  const at::Tensor angles = at::outer(at::arange(size, at::kFloat), at::tensor(frequencies_));
  values_ = std::make_shared<Values>(Values{angles.cos().to(device_), angles.sin().to(device_)});
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
