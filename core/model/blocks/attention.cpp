#include "core/model/blocks/attention.h"

#include <ATen/ATen.h>
#include <ATen/TensorIndexing.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/model/blocks/device_attention.h"
#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {

std::int64_t AttentionSpan::position(std::int64_t sequence, std::int64_t query) const {
  const auto s = static_cast<std::size_t>(sequence);
  if (!query_positions.empty()) return query_positions[static_cast<std::size_t>(query)];
  return (key_offsets[s + 1] - key_offsets[s]) - (query_offsets[s + 1] - query);
}

std::int64_t longest_sequence(const std::vector<std::int64_t>& offsets) {
  std::int64_t longest = 0;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) longest = std::max(longest, offsets[s + 1] - offsets[s]);
  return longest;
}

namespace {

/// One sequence: q [nq, heads, hd], k and v [nk, kv heads, hd], positions of the queries [nq].
at::Tensor attend_one(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& positions,
                      const AttentionSpec& spec) {
  const std::int64_t repeat = spec.heads / spec.key_value_heads;
  const auto by_head = [&](const at::Tensor& t, std::int64_t times) {
    return t.transpose(0, 1).repeat_interleave(times, 0);  // [heads, rows, hd]
  };
  at::Tensor scores = at::matmul(q.transpose(0, 1), by_head(k, repeat).transpose(1, 2)) * spec.scale;
  const at::Tensor keys = at::arange(k.size(0), positions.options());
  const at::Tensor distances = keys.unsqueeze(0) - positions.unsqueeze(1);  // [nq, nk]
  if (spec.bias.defined())
    scores =
        scores + spec.bias.index({at::indexing::Slice(), distances + (spec.bias_reach() - 1)}).to(scores.options());
  if (spec.causal) {
    at::Tensor hidden = distances > 0;
    if (spec.window > 0) hidden = hidden | (distances <= -spec.window);
    scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
  const at::Tensor weights =
      at::softmax(scores, -1, scores.scalar_type() == at::kBFloat16 ? at::kFloat : scores.scalar_type());
  return at::matmul(weights.to(v.scalar_type()), by_head(v, repeat))
      .transpose(0, 1)
      .reshape({q.size(0), spec.heads * spec.head_dim});
}

at::Tensor reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionSpec& spec) {
  if (!q.is_cpu()) return device_attention(q, k, v, spec);
  const AttentionSpan& span = spec.span;
  std::vector<at::Tensor> outputs;
  for (std::int64_t s = 0; s < span.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int64_t q0 = span.query_offsets[i], nq = span.query_offsets[i + 1] - q0;
    const std::int64_t k0 = span.key_offsets[i], nk = span.key_offsets[i + 1] - k0;
    std::vector<std::int64_t> positions;
    for (std::int64_t r = q0; r < q0 + nq; ++r) positions.push_back(span.position(s, r));
    const at::Tensor where = at::tensor(positions, at::kLong);
    at::Tensor qs = q.narrow(0, q0, nq), ks = k.narrow(0, k0, nk);
    if (spec.rope) {
      qs = rotated(qs, where, *spec.rope);
      ks = rotated(ks, at::arange(nk, where.options()), *spec.rope);
    }
    outputs.push_back(attend_one(qs, ks, v.narrow(0, k0, nk), where, spec));
  }
  return outputs.empty() ? q.reshape({0, spec.heads * spec.head_dim}) : at::cat(outputs, 0);
}

at::Tensor reference(const at::Tensor& qkv, const at::Tensor& kv, const AttentionSpec& spec) {
  const std::int64_t h = spec.heads, g = spec.key_value_heads, hd = spec.head_dim;
  const at::Tensor& keys = kv.defined() ? kv : qkv;
  const std::int64_t first = kv.defined() ? 0 : h * hd;
  const auto heads = [&](const at::Tensor& t, std::int64_t column, std::int64_t n) {
    return t.narrow(1, column, n * hd).reshape({t.size(0), n, hd});
  };
  return reference(heads(qkv, 0, h), heads(keys, first, g), heads(keys, first + g * hd, g), spec);
}

/// Kernel arguments for the joined or separate inputs.
kernels::Attention arguments(const at::Tensor& qkv, const at::Tensor& kv, const AttentionSpec& spec) {
  const at::Tensor& keys = kv.defined() ? kv : qkv;
  const std::int64_t hd = spec.head_dim, first = kv.defined() ? 0 : spec.heads * hd;
  const auto at = [&](const at::Tensor& t, std::int64_t column) {
    return static_cast<const char*>(t.const_data_ptr()) + static_cast<std::size_t>(column) * t.element_size();
  };
  const AttentionSpan& span = spec.span;
  return {.type = storage_of(qkv),
          .heads = spec.heads,
          .kv_heads = spec.key_value_heads,
          .head_dim = hd,
          .scale = static_cast<float>(spec.scale),
          .causal = spec.causal,
          .window = spec.window,
          .bias = spec.bias.defined() ? spec.bias.const_data_ptr<float>() + (spec.bias_reach() - 1) : nullptr,
          .bias_stride = spec.bias.defined() ? spec.bias.size(1) : 0,
          .cosines = spec.rope ? spec.rope->cosines.const_data_ptr<float>() : nullptr,
          .sines = spec.rope ? spec.rope->sines.const_data_ptr<float>() : nullptr,
          .query_offsets = span.query_offsets.data(),
          .key_offsets = span.key_offsets.data(),
          .query_positions = span.query_positions.empty() ? nullptr : span.query_positions.data(),
          .q = at(qkv, 0),
          .k = at(keys, first),
          .v = at(keys, first + spec.key_value_heads * hd),
          .q_stride = qkv.size(1),
          .kv_stride = keys.size(1)};
}

/// Runs a kernel over all (sequence, key-value head) tasks, the longest sequences first, each thread taking the next.
void run_tasks(void (*kernel)(const kernels::Attention&, std::int64_t, std::int64_t, float*),
               const kernels::Attention& args, const AttentionSpan& span, bool backward) {
  std::vector<std::pair<std::int64_t, std::int64_t>> order;  // keys, sequence
  double work = 0;
  for (std::int64_t s = 0; s < span.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int64_t keys = span.key_offsets[i + 1] - span.key_offsets[i];
    if (keys > 0) order.emplace_back(keys, s);
    work += 2.0 * static_cast<double>(keys * (span.query_offsets[i + 1] - span.query_offsets[i])) *
            static_cast<double>(args.head_dim * args.heads);
  }
  if (order.empty()) return;
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto tasks = static_cast<std::int64_t>(order.size()) * args.kv_heads;
  const std::int64_t scratch = kernels::table().attention_scratch(args, order.front().first, backward);
  share_tasks(
      tasks, work, [&] { return at::empty({scratch}, at::kFloat); },
      [&](std::int64_t t, const at::Tensor& space) {
        kernel(args, order[static_cast<std::size_t>(t / args.kv_heads)].second, t % args.kv_heads,
               space.data_ptr<float>());
      });
}

/// Saves the inputs as they came (unrotated), the output and one number per query and head.
class AttentionNode final : public BackwardNode {
 public:
  std::string name() const override { return "AttentionBackward"; }
  at::Tensor qkv, kv, out, normalisers;
  std::shared_ptr<const AttentionSpec> spec;

 protected:
  Gradients backward(Gradients&& gradients) override {
    Gradients result(2);
    if (!gradients[0].defined()) return result;
    const at::Tensor grad = gradients[0].contiguous();
    result[0] = at::empty_like(qkv);
    if (kv.defined()) result[1] = at::empty_like(kv);
    const kernels::Attention into = arguments(result[0], result[1], *spec);
    kernels::Attention args = arguments(qkv, kv, *spec);
    args.out = out.data_ptr();
    args.normalisers = normalisers.data_ptr<float>();
    args.grad_out = grad.const_data_ptr();
    args.grad_q = const_cast<void*>(into.q);
    args.grad_k = const_cast<void*>(into.k);
    args.grad_v = const_cast<void*>(into.v);
    args.grad_q_stride = into.q_stride;
    args.grad_kv_stride = into.kv_stride;
    run_tasks(kernels::table().attention_backward, args, spec->span, true);
    return result;
  }
  void release() override { qkv = kv = out = normalisers = at::Tensor(); }
};

at::Tensor fused(const at::Tensor& qkv, const at::Tensor& kv, const std::shared_ptr<const AttentionSpec>& spec) {
  at::Tensor out, normalisers;
  {
    const c10::NoGradGuard no_grad;
    out = at::empty({qkv.size(0), spec->heads * spec->head_dim}, qkv.options());
    normalisers = at::empty({qkv.size(0), spec->heads}, at::kFloat);
  }
  kernels::Attention args = arguments(qkv, kv, *spec);
  args.out = out.data_ptr();
  args.normalisers = normalisers.data_ptr<float>();
  run_tasks(kernels::table().attention_forward, args, spec->span, false);
  if (!records(qkv, kv)) return out;
  auto node = make_node<AttentionNode>(torch::autograd::collect_next_edges(qkv, kv));
  node->qkv = qkv.detach();
  if (kv.defined()) node->kv = kv.detach();
  node->out = out.detach();
  node->normalisers = normalisers;
  node->spec = spec;
  torch::autograd::set_history(out, node);
  return out;
}

}  // namespace

at::Tensor attention(const at::Tensor& qkv, const at::Tensor& kv, const std::shared_ptr<const AttentionSpec>& spec,
                     const BlockContext& context) {
  // The kernels have no gradient of the bias, which only full fine-tuning wants.
  if (!takes_fused(context, qkv) || (spec->bias.defined() && records(spec->bias))) return reference(qkv, kv, *spec);
  return fused(qkv.contiguous(), kv.defined() ? kv.contiguous() : kv, spec);
}

}  // namespace mneme::model::blocks
