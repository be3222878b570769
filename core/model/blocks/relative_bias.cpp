#include "core/model/blocks/relative_bias.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/model/device.h"

namespace mneme::model::blocks {

at::Tensor relative_bias(const at::Tensor& table, const RelativeBuckets& rule, std::int64_t reach) {
  const at::Tensor distance = at::arange(1 - reach, reach, at::TensorOptions().dtype(at::kLong));
  std::int64_t buckets = rule.buckets;
  at::Tensor bucket = at::zeros_like(distance), far = (-distance).clamp_min(0);
  if (!rule.causal) {
    buckets /= 2;
    bucket = (distance > 0).to(at::kLong) * buckets;
    far = distance.abs();
  }
  const std::int64_t exact = buckets / 2;
  // The operations and their order in fp32 decide on which side of a border a distance falls.
  const at::Tensor steps = at::log(far.to(at::kFloat) / static_cast<double>(exact)) /
                           std::log(static_cast<double>(rule.max_distance) / static_cast<double>(exact)) *
                           static_cast<double>(buckets - exact);
  const at::Tensor wide = (exact + steps.clamp_min(0).to(at::kLong)).clamp_max(buckets - 1);
  bucket = bucket + at::where(far < exact, far, wide);
  const at::Tensor bias = table.index_select(0, on_device(bucket, table.device())).t();
  return (bias.scalar_type() == at::kBFloat16 ? bias.to(at::kFloat) : bias).contiguous();
}

}  // namespace mneme::model::blocks
