#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/config/node.h"

namespace mneme::config {

/// The filter of a sweep block: comparisons (== != < <= > >= in) of keys, numbers, texts and lists, joined by and, or,
/// not and parentheses, for instance "buffer < 500 or strategy in [er, ewc]". A word that is no key stands for itself
/// as text. \param look_up  the value of a key, or nullptr if there is none; the node must live until the call returns
/// Throws ConfigError with the byte in the text where it is wrong.
bool holds(std::string_view expression, const std::function<const Node*(const std::string& key)>& look_up);

}  // namespace mneme::config
