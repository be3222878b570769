#pragma once

#include <cstdint>

// Own CPU kernels of the blocks, compiled once per instruction set and chosen when the program starts. Each works on a
// range of rows or tasks in the calling thread; the blocks spread ranges over threads. Every output element is computed
// by one task in one fixed order of operations that depends neither on the number of rows nor on the number of
// threads: results are the same bits in any batch composition.

namespace mneme::model::kernels {

/// Type of the elements in memory; arithmetic is fp32 throughout.
enum class Storage { kFloat, kBFloat16 };

/// C[m, n] (+)= A[m, k] · B[k, n], all fp32.
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  std::int64_t a_row = 0, a_col = 1;  ///< strides of A
  const float* b = nullptr;
  std::int64_t ldb = 0;  ///< row stride of B; 0: B was packed by pack()
  float* c = nullptr;
  std::int64_t ldc = 0;
  bool accumulate = false;  ///< add to C instead of overwriting it
  /// The caller allows writing zeros behind column n up to the next multiple of 16 (packed B only).
  bool pad_columns = false;
};

/// Brings scale·B [k, n] into the order that gemm() reads fastest.
struct Pack {
  std::int64_t k = 0, n = 0;
  const float* b = nullptr;
  std::int64_t b_row = 0, b_col = 1;  ///< strides of B
  float scale = 1;
  float* out = nullptr;  ///< of Table::packed_size() floats
};

/// h = x + delta, n = h · rstd · w by rows.
struct AddNormForward {
  Storage type = Storage::kFloat;
  std::int64_t rows = 0, dim = 0;
  const void* x = nullptr;
  const void* delta = nullptr;  ///< or nullptr: h is x
  const void* weight = nullptr;
  double eps = 0;
  void* residual = nullptr;  ///< or nullptr when delta is
  void* normed = nullptr;
  float* rstd = nullptr;  ///< [rows]
};

struct AddNormBackward {
  Storage type = Storage::kFloat;
  std::int64_t rows = 0, dim = 0;
  const void* residual = nullptr;
  const float* rstd = nullptr;
  const void* weight = nullptr;
  const void* grad_normed = nullptr;    ///< or nullptr
  const void* grad_residual = nullptr;  ///< or nullptr
  void* grad_x = nullptr;               ///< or nullptr
  float* grad_weight = nullptr;         ///< [dim], added to; or nullptr
};

/// Activation functions: gelu is the exact one, gelu_tanh its approximation.
enum class Function { kSilu, kGelu, kGeluTanh, kRelu };

/// f(x), or f(gate) · value on rows [2·width].
struct Activation {
  Storage type = Storage::kFloat;
  Function function = Function::kSilu;
  bool gated = true;
  std::int64_t rows = 0, width = 0;
  const void* x = nullptr;     ///< [rows, width], or gated [rows, 2·width] with the gate first
  const void* grad = nullptr;  ///< backward only, [rows, width]
  void* out = nullptr;         ///< [rows, width]; backward: like x
};

/// Cross-entropy of rows of logits.
struct LabelLoss {
  Storage type = Storage::kFloat;
  std::int64_t rows = 0, classes = 0;
  const void* logits = nullptr;
  const std::int64_t* labels = nullptr;
  float* losses = nullptr;       ///< forward: written
  float* normalisers = nullptr;  ///< log of the sum of exponentials; forward: written
  const float* grad = nullptr;   ///< backward: of the losses, [rows]
  void* grad_logits = nullptr;   ///< backward: written
};

/// The place of the largest element of each row, the first of equals; what is not a number is never the largest.
struct LargestOfRow {
  Storage type = Storage::kFloat;
  std::int64_t rows = 0, columns = 0;
  const void* x = nullptr;
  std::int32_t* places = nullptr;  ///< [rows]; 0 where no element is above -inf
};

/// Attention of packed sequences; see blocks/attention.h for the meaning. A task is (sequence, key-value head).
struct Attention {
  Storage type = Storage::kFloat;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1;
  bool causal = true;                                ///< else every query sees all keys of its sequence
  std::int64_t window = 0;                           ///< causal: keys that a query sees at most; 0: no limit
  const float* bias = nullptr;                       ///< at distance 0 (key - query) of head 0, or nullptr; fp32
  std::int64_t bias_stride = 0;                      ///< of heads
  const float *cosines = nullptr, *sines = nullptr;  ///< [positions, head_dim/2], or nullptr
  const std::int64_t *query_offsets = nullptr, *key_offsets = nullptr, *query_positions = nullptr;
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  std::int64_t q_stride = 0, kv_stride = 0;  ///< of rows, in elements; k and v share one
  void* out = nullptr;                       ///< [queries, heads·head_dim]
  float* normalisers = nullptr;              ///< [queries, heads] log of the sum of exponentials
  // backward only
  const void* grad_out = nullptr;
  void *grad_q = nullptr, *grad_k = nullptr, *grad_v = nullptr;
  std::int64_t grad_q_stride = 0, grad_kv_stride = 0;
};

/// One new token per row against a cache of rotated keys and of values, each [slot][kv head][capacity][stride];
/// capacity and stride are multiples of 16, elements behind head_dim are 0 and unused positions finite.
/// Where k is nullptr nothing is added: a row sees what is there up to its position. A task is (row, kv head).
struct CacheAttention {
  Storage type = Storage::kFloat;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0, capacity = 0, stride = 0;
  float scale = 1;
  std::int64_t window = 0;  ///< as in Attention
  const float* bias = nullptr;
  std::int64_t bias_stride = 0;
  const float *cosines = nullptr, *sines = nullptr;
  const std::int64_t *slots = nullptr, *positions = nullptr;
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  std::int64_t q_stride = 0, kv_stride = 0;
  void *keys = nullptr, *values = nullptr;
  void* out = nullptr;
};

/// Copies whole sequences into such a cache. A task is (sequence, kv head).
struct CacheStore {
  Storage type = Storage::kFloat;
  std::int64_t kv_heads = 0, head_dim = 0, capacity = 0, stride = 0;
  const float *cosines = nullptr, *sines = nullptr;
  const std::int64_t *slots = nullptr, *offsets = nullptr;
  const void *k = nullptr, *v = nullptr;
  std::int64_t kv_stride = 0;
  void *keys = nullptr, *values = nullptr;
};

/// out = x · mask, where mask is 0 with probability p and 1/(1-p) else, a pure function of (seed, element index).
struct Dropout {
  Storage type = Storage::kFloat;
  std::int64_t first = 0, count = 0;  ///< range of elements
  std::uint64_t seed = 0;
  double p = 0;
  const void* x = nullptr;
  void* out = nullptr;
  bool accumulate = false;  ///< out += instead
};

/// Between bf16 and fp32, element by element.
struct Conversion {
  std::int64_t count = 0;
  void* half = nullptr;
  float* single = nullptr;
};

/// The kernels for one instruction set.
struct Table {
  const char* name;
  std::int64_t panel;  ///< columns of packed B that lie together: column j·panel starts at b[j·panel·k]
  /// Floats that pack() writes for a matrix [k, n].
  std::int64_t (*packed_size)(std::int64_t k, std::int64_t n);
  void (*pack)(const Pack& args);
  void (*gemm)(const Gemm& args);
  void (*add_norm_forward)(const AddNormForward& args);
  void (*add_norm_backward)(const AddNormBackward& args);
  void (*activation_forward)(const Activation& args);
  void (*activation_backward)(const Activation& args);
  void (*label_loss_forward)(const LabelLoss& args);
  void (*label_loss_backward)(const LabelLoss& args);
  void (*largest_of_row)(const LargestOfRow& args);
  /// Floats of scratch that one attention task needs at most for so many keys; backward needs more.
  std::int64_t (*attention_scratch)(const Attention& args, std::int64_t keys, bool backward);
  void (*attention_forward)(const Attention& args, std::int64_t sequence, std::int64_t kv_head, float* scratch);
  void (*attention_backward)(const Attention& args, std::int64_t sequence, std::int64_t kv_head, float* scratch);
  /// \param scratch of head_dim + 16 floats
  void (*cache_store)(const CacheStore& args, std::int64_t sequence, std::int64_t kv_head, float* scratch);
  /// Floats of scratch that one task of cache_attention() needs.
  std::int64_t (*cache_scratch)(const CacheAttention& args);
  void (*cache_attention)(const CacheAttention& args, std::int64_t row, std::int64_t kv_head, float* scratch);
  void (*dropout)(const Dropout& args);
  void (*widen)(const Conversion& args);   ///< single = half
  void (*narrow)(const Conversion& args);  ///< half = single, rounded to the nearest
};

/// The best table for this CPU. The environment variable MNEME_CPU = avx512, avx2 or baseline asks for a lesser one,
/// without the matrix unit.
const Table& table();

/// Tables that this CPU can run, best first; for tests.
struct Tables {
  const Table* all[3];
  int count;
};
Tables available_tables();

}  // namespace mneme::model::kernels
