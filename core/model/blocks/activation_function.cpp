#include "core/model/blocks/activation.h"

namespace mneme::model::blocks {

std::optional<Activation::Function> activation_function(std::string_view name) {
  if (name == "silu") return Activation::Function::kSilu;
  if (name == "gelu") return Activation::Function::kGelu;
  if (name == "gelu_tanh") return Activation::Function::kGeluTanh;
  if (name == "relu") return Activation::Function::kRelu;
  return std::nullopt;
}

}  // namespace mneme::model::blocks
