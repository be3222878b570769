#include "core/model/blocks/attention.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace mneme::model::blocks {

std::int64_t AttentionSpan::position(std::int64_t sequence, std::int64_t query) const {
  const auto s = static_cast<std::size_t>(sequence);
  if (!query_positions.empty()) return query_positions[static_cast<std::size_t>(query)];
  return (key_offsets[s + 1] - key_offsets[s]) - (query_offsets[s + 1] - query);
}

namespace {

/// x [rows, heads, head_dim] rotated to the given positions.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& positions, const RopeTable::Values& rope) {
  const std::int64_t half = x.size(2) / 2;
  const auto options = x.options();
  const at::Tensor cosines = rope.cosines.index_select(0, positions).unsqueeze(1).to(options);
  const at::Tensor sines = rope.sines.index_select(0, positions).unsqueeze(1).to(options);
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  return at::cat({first * cosines - second * sines, second * cosines + first * sines}, 2);
}

/// One sequence: q [nq, heads, hd], k and v [nk, kv heads, hd], positions of the queries [nq].
at::Tensor attend_one(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& positions,
                      const AttentionSpec& spec) {
  const std::int64_t repeat = spec.heads / spec.key_value_heads;
  const auto by_head = [&](const at::Tensor& t, std::int64_t times) {
    return t.transpose(0, 1).repeat_interleave(times, 0);  // [heads, rows, hd]
  };
  at::Tensor scores = at::matmul(q.transpose(0, 1), by_head(k, repeat).transpose(1, 2)) * spec.scale;
  const at::Tensor keys = at::arange(k.size(0), positions.options());
  const at::Tensor hidden = keys.unsqueeze(0) > positions.unsqueeze(1);
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  const at::Tensor weights =
      at::softmax(scores, -1, scores.scalar_type() == at::kBFloat16 ? at::kFloat : scores.scalar_type());
  return at::matmul(weights.to(v.scalar_type()), by_head(v, repeat)).transpose(0, 1).reshape({q.size(0), -1});
}

at::Tensor reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionSpec& spec) {
  const AttentionSpan& span = spec.span;
  std::vector<at::Tensor> outputs;
  for (std::int64_t s = 0; s < span.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int64_t q0 = span.query_offsets[i], nq = span.query_offsets[i + 1] - q0;
    const std::int64_t k0 = span.key_offsets[i], nk = span.key_offsets[i + 1] - k0;
    std::vector<std::int64_t> positions;
    for (std::int64_t r = q0; r < q0 + nq; ++r) positions.push_back(span.position(s, r));
    const at::Tensor where = at::tensor(positions, at::kLong).to(q.device());
    at::Tensor qs = q.narrow(0, q0, nq), ks = k.narrow(0, k0, nk);
    if (spec.rope) {
      qs = rotate(qs, where, *spec.rope);
      ks = rotate(ks, at::arange(nk, where.options()), *spec.rope);
    }
    outputs.push_back(attend_one(qs, ks, v.narrow(0, k0, nk), where, spec));
  }
  return outputs.empty() ? q.reshape({0, spec.heads * spec.head_dim}) : at::cat(outputs, 0);
}

}  // namespace

at::Tensor attention(const at::Tensor& qkv, const at::Tensor& kv, const std::shared_ptr<const AttentionSpec>& spec,
                     const BlockContext&) {
  const std::int64_t h = spec->heads, g = spec->key_value_heads, hd = spec->head_dim;
  const at::Tensor& keys = kv.defined() ? kv : qkv;
  const std::int64_t first = kv.defined() ? 0 : h * hd;
  const auto heads = [&](const at::Tensor& t, std::int64_t column, std::int64_t n) {
    return t.narrow(1, column, n * hd).view({t.size(0), n, hd});
  };
  return reference(heads(qkv, 0, h), heads(keys, first, g), heads(keys, first + g * hd, g), *spec);
}

}  // namespace mneme::model::blocks
