#pragma once
// The table of the instruction set that the including file is compiled for.
#include "core/model/kernels/activation_impl.h"
#include "core/model/kernels/attention_backward_impl.h"
#include "core/model/kernels/attention_impl.h"
#include "core/model/kernels/cache_impl.h"
#include "core/model/kernels/gemm_impl.h"
#include "core/model/kernels/rows_impl.h"

namespace mneme::model::kernels {
namespace {

constexpr Table make_table(const char* name) {
  return {.name = name,
          .panel = kPanel,
          .packed_size = packed_size,
          .pack = pack,
          .gemm = gemm,
          .add_norm_forward = add_norm_forward,
          .add_norm_backward = add_norm_backward,
          .activation_forward = activation_forward,
          .activation_backward = activation_backward,
          .label_loss_forward = label_loss_forward,
          .label_loss_backward = label_loss_backward,
          .largest_of_row = largest_of_row,
          .attention_scratch = attention_scratch,
          .attention_forward = attention_forward,
          .attention_backward = attention_backward,
          .cache_store = cache_store,
          .cache_scratch = cache_scratch,
          .cache_attention = cache_attention,
          .dropout = dropout,
          .widen = widen,
          .narrow = narrow};
}

}  // namespace
}  // namespace mneme::model::kernels
