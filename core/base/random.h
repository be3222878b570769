#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace mneme {

/// A named stream of random numbers: xoshiro256** seeded from (seed, name) by SplitMix64 and FNV-1a.
/// Streams with different names are independent, so that adding a consumer never shifts another's numbers.
/// All distributions are defined here: results do not depend on a standard library.
/// Source: Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators".
class RandomStream {
 public:
  using State = std::array<std::uint64_t, 4>;

  /// \param name the purpose, for instance "order/task3" or "reservoir".
  RandomStream(std::uint64_t seed, std::string_view name);

  std::uint64_t next();

  /// Uniform in [0, n) without modulo bias (Lemire 2019). Throws Error if n is 0.
  std::uint64_t below(std::uint64_t n);

  /// Uniform in [0, 1) with 53 bits.
  double uniform();

  /// Standard normal (Box-Muller, both values of a pair are drawn, one is used: the state is just four words).
  double normal();

  /// Fisher-Yates shuffle.
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  /// 0..n-1 in random order.
  std::vector<std::int64_t> permutation(std::int64_t n);

  /// k distinct indices of 0..n-1 in random order (k <= n).
  std::vector<std::int64_t> sample(std::int64_t n, std::int64_t k);

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  State state_;
};

}  // namespace mneme
