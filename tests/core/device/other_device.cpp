#include "tests/core/device/other_device.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

namespace {

constexpr auto kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kType, 0);
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

class Hooks final : public at::PrivateUse1HooksInterface {
 public:
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
};

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* memory = c10::alloc_cpu(bytes);
    return {memory, memory, &c10::free_cpu, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

c10::Allocator* allocator() {
  static Allocator made;
  return &made;
}

using Type = std::optional<at::ScalarType>;
using Layout = std::optional<at::Layout>;
using Place = std::optional<at::Device>;
using Sizes = at::IntArrayRef;

at::Tensor empty(Sizes size, Type type, Layout, Place, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, allocator(), kKeys, c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(Sizes size, Sizes stride, Type type, Layout, Place, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, allocator(), kKeys, c10::dtype_or_default(type));
}

/// A CPU tensor over the same memory.
at::Tensor on_cpu(const at::Tensor& t) {
  if (t.is_cpu()) return t;
  return at::from_blob(const_cast<void*>(t.const_data_ptr()), t.sizes(), t.strides(),
                       at::TensorOptions().dtype(t.scalar_type()));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const at::Tensor& t) { return on_cpu(t).item(); }

const at::Tensor& resize(const at::Tensor& t, c10::SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  at::native::resize_impl_cpu_(t.unsafeGetTensorImpl(), C10_AS_INTARRAYREF_SLOW(size), std::nullopt);
  return t;
}

at::Tensor as_strided(const at::Tensor& t, Sizes size, Sizes stride, std::optional<std::int64_t> offset) {
  return at::native::as_strided_tensorimpl(t, size, stride, offset);
}

at::Tensor reshape_alias(const at::Tensor& t, Sizes size, Sizes stride) {
  return at::native::as_strided_tensorimpl(t, size, stride, std::nullopt);
}

at::Tensor view(const at::Tensor& t, Sizes size) { return at::native::view(t, size); }

/// What flash attention of packed sequences is told, as PyTorch documents it: in each sequence the last query stands at
/// the last key, and a query sees `left` keys before and `right` keys behind its own place (no number: all).
struct Flash {
  at::Tensor query_offsets, key_offsets;
  bool causal;
  double scale;
  std::optional<c10::SymInt> left, right;

  /// [R, N]
  at::Tensor visible(std::int64_t rows, std::int64_t keys) const {
    at::Tensor seen = at::zeros({rows, keys}, at::kBool);
    const at::Tensor q = on_cpu(query_offsets), k = on_cpu(key_offsets);
    const auto at_index = [](const at::Tensor& offsets, std::int64_t s) {
      return static_cast<std::int64_t>(offsets.const_data_ptr<std::int32_t>()[s]);
    };
    for (std::int64_t s = 0; s + 1 < q.numel(); ++s) {
      const std::int64_t q1 = at_index(q, s + 1), k0 = at_index(k, s), k1 = at_index(k, s + 1);
      for (std::int64_t i = at_index(q, s); i < q1; ++i) {
        const std::int64_t place = k1 - (q1 - i);
        const std::int64_t first = left ? std::max(k0, place - left->expect_int()) : k0;
        const std::int64_t last = causal ? place : right ? std::min(k1 - 1, place + right->expect_int()) : k1 - 1;
        if (first <= last) seen.select(0, i).narrow(0, first, last + 1 - first).fill_(true);
      }
    }
    return seen;
  }

  /// q [R, heads, hd], k [N, kv heads, hd], in fp32. \return [heads, R, N]
  at::Tensor weights(const at::Tensor& q, const at::Tensor& k) const {
    const at::Tensor hidden = visible(q.size(0), k.size(0)).logical_not();
    const at::Tensor scores = at::matmul(by_head(q, q.size(1)), by_head(k, q.size(1)).transpose(1, 2)) * scale;
    return at::softmax(scores.masked_fill(hidden, -1e30), -1);
  }

  /// x [rows, its heads, hd] -> [heads, rows, hd]
  static at::Tensor by_head(const at::Tensor& x, std::int64_t heads) {
    return x.transpose(0, 1).repeat_interleave(heads / x.size(1), 0);
  }
};

at::Tensor in_fp32(const at::Tensor& t) { return on_cpu(t).to(at::kFloat); }

using Offsets = std::optional<at::Tensor>;
using Reach = std::optional<c10::SymInt>;

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Offsets& query_offsets,
    const Offsets& key_offsets, c10::SymInt, c10::SymInt, double, bool causal, bool, std::optional<double> scale,
    Reach left, Reach right, const Offsets&, const Offsets&) {
  TORCH_CHECK(q.scalar_type() == at::kBFloat16, "flash attention takes bf16");
  const Flash flash{*query_offsets, *key_offsets, causal, *scale, left, right};
  const at::Tensor nothing = at::empty({0}, q.options());
  const at::Tensor out = at::matmul(flash.weights(in_fp32(q), in_fp32(k)), Flash::by_head(in_fp32(v), q.size(1)));
  return {out.transpose(0, 1).to(q.options()), nothing, nothing, nothing, nothing};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_backward(
    const at::Tensor& grad, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor&,
    const at::Tensor&, const at::Tensor& query_offsets, const at::Tensor& key_offsets, c10::SymInt, c10::SymInt, double,
    bool causal, const at::Tensor&, const at::Tensor&, std::optional<double> scale, Reach left, Reach right) {
  const Flash flash{query_offsets, key_offsets, causal, *scale, left, right};
  const std::int64_t heads = q.size(1), repeat = heads / k.size(1);
  const at::Tensor weights = flash.weights(in_fp32(q), in_fp32(k)), out = in_fp32(grad).transpose(0, 1);
  const at::Tensor slopes = at::matmul(out, Flash::by_head(in_fp32(v), heads).transpose(1, 2));
  const at::Tensor scores = weights * (slopes - (slopes * weights).sum(-1, true)) * *scale;
  const auto of_keys = [&](const at::Tensor& x) {  // [heads, N, hd] -> [N, kv heads, hd]
    return x.view({k.size(1), repeat, x.size(1), x.size(2)}).sum(1).transpose(0, 1).to(k.options());
  };
  return {at::matmul(scores, Flash::by_head(in_fp32(k), heads)).transpose(0, 1).to(q.options()),
          of_keys(at::matmul(scores.transpose(1, 2), in_fp32(q).transpose(0, 1))),
          of_keys(at::matmul(weights.transpose(1, 2), out))};
}

/// A single number may lie on the CPU, as with a GPU.
void check(const c10::OperatorHandle& op, const at::Tensor& t) {
  TORCH_CHECK(!t.defined() || t.dim() == 0 || t.device().type() == kType, op.schema().name(),
              ": a tensor on the CPU meets one on another device");
}

void on_memory(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::size_t arguments = op.schema().arguments().size();
  for (auto value = stack->end() - static_cast<std::ptrdiff_t>(arguments); value != stack->end(); ++value) {
    if (value->isTensor()) check(op, value->toTensor());
    if (value->isTensorList())
      for (const at::Tensor& t : value->toTensorVector()) check(op, t);
  }
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
  library.impl("resize_", &resize);
  library.impl("as_strided", &as_strided);
  library.impl("_reshape_alias", &reshape_alias);
  library.impl("view", &view);
  library.impl("_flash_attention_forward", &flash_forward);
  library.impl("_flash_attention_backward", &flash_backward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_memory>());
}

/// One device with one stream, in which all is done at once.
class Guard final : public c10::impl::NoOpDeviceGuardImpl<kType> {
 public:
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

}  // namespace

namespace mneme::test {

c10::Device other_device() {
  static const bool registered = [] {
    at::RegisterPrivateUse1HooksInterface(new Hooks());
    c10::register_privateuse1_backend("other");
    return true;
  }();
  return registered ? kDevice : c10::Device(c10::kCPU);
}

}  // namespace mneme::test
