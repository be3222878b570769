#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::text {

/// Ids of words seen before, by the word's bytes: an open-addressing table that stops growing at a bound.
class WordCache {
 public:
  /// Longer words are not worth keeping.
  static constexpr std::size_t kLongest = 64;

  WordCache() : slots_(kFirstSlots) {}

  static std::uint64_t hash(std::string_view word);
  std::optional<std::span<const std::int32_t>> find(std::string_view word, std::uint64_t hash) const;
  /// Keeps the ids of a word that is not there; without effect once the cache is full.
  void insert(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids);

 private:
  static constexpr std::size_t kFirstSlots = 1 << 12, kMostSlots = 1 << 18;
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t key = 0, ids = 0;            ///< where they start
    std::uint16_t key_size = 0, ids_size = 0;  ///< no key: empty
  };
  void grow();

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  std::string keys_;
  std::vector<std::int32_t> ids_;
};

}  // namespace mneme::text
