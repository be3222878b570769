#include "core/text/word_cache.h"

#include <cstring>

namespace mneme::text {

std::uint64_t WordCache::hash(std::string_view word) {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15u;
  std::uint64_t h = word.size() * kFactor;
  const auto mix = [&](std::uint64_t part) {
    h = (h ^ part) * kFactor;
    h ^= h >> 32;
  };
  std::size_t i = 0;
  for (; i + 8 <= word.size(); i += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, word.data() + i, 8);
    mix(part);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, word.data() + i, word.size() - i);
  mix(rest);
  return h;
}

std::optional<std::span<const std::int32_t>> WordCache::find(std::string_view word, std::uint64_t hash) const {
  for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.key_size == 0) return std::nullopt;
    if (slot.hash == hash && std::string_view(keys_).substr(slot.key, slot.key_size) == word)
      return std::span(ids_).subspan(slot.ids, slot.ids_size);
  }
}

void WordCache::insert(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids) {
  if (word.empty() || word.size() > kLongest) return;
  if (used_ * 2 >= slots_.size()) {
    if (slots_.size() >= kMostSlots) return;
    grow();
  }
  std::size_t i = hash & (slots_.size() - 1);
  while (slots_[i].key_size != 0) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {hash, static_cast<std::uint32_t>(keys_.size()), static_cast<std::uint32_t>(ids_.size()),
               static_cast<std::uint16_t>(word.size()), static_cast<std::uint16_t>(ids.size())};
  keys_ += word;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++used_;
}

void WordCache::grow() {
  std::vector<Slot> larger(slots_.size() * 4);
  for (const Slot& slot : slots_) {
    if (slot.key_size == 0) continue;
    std::size_t i = slot.hash & (larger.size() - 1);
    while (larger[i].key_size != 0) i = (i + 1) & (larger.size() - 1);
    larger[i] = slot;
  }
  slots_ = std::move(larger);
}

}  // namespace mneme::text
