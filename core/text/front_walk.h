#pragma once

#include <cstddef>
#include <string_view>

#include "core/base/unicode.h"

namespace mneme::text {

/// Follows how far the front of a text, the bytes that are made from its very first character, reaches in a text that
/// is made from it. Hugging Face's tokenizers align the two so: each new character stands for some of the old ones, in
/// their order, or for none, and then belongs to what the one before it stands for.
class FrontWalk {
 public:
  FrontWalk(std::string_view old, std::size_t front) : old_(old), front_(front) {}

  /// The next character of the new text, its bytes, and how many old ones it stands for.
  void put(std::size_t bytes, int stands_for) {
    settle();
    bytes_ = bytes;
    stands_for_ = stands_for;
  }
  /// The character that was put last stands for so many more.
  void widen(int more) { stands_for_ += more; }

  /// Bytes of the new text's front.
  std::size_t front() {
    settle();
    return new_front_;
  }

 private:
  void settle() {
    if (bytes_ == 0 || at_ > front_) return;
    if (at_ < front_ || (stands_for_ == 0 && front_ > 0)) new_front_ += bytes_;
    for (; stands_for_ > 0 && at_ <= front_; --stands_for_) at_ = next(at_);
    bytes_ = 0;
  }

  std::size_t next(std::size_t i) const {
    do ++i;
    while (i < old_.size() && is_continuation(old_[i]));
    return i;
  }

  std::string_view old_;
  std::size_t front_, at_ = 0, new_front_ = 0, bytes_ = 0;
  int stands_for_ = 0;
};

}  // namespace mneme::text
