#include "core/base/random.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace mneme {

namespace {
std::uint64_t split_mix(std::uint64_t& x) {
  std::uint64_t z = (x += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
}  // namespace

RandomStream::RandomStream(std::uint64_t seed, std::string_view name) {
  std::uint64_t x = seed;
  x = split_mix(x) ^ fnv1a(name);
  for (auto& word : state_) word = split_mix(x);
}

std::uint64_t RandomStream::next() {
  auto& s = state_;
  const std::uint64_t result = std::rotl(s[1] * 5, 7) * 9;
  const std::uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

std::uint64_t RandomStream::below(std::uint64_t n) {
  MNEME_CHECK(n > 0, "a random number below 0 was asked for");
  __extension__ using Wide = unsigned __int128;
  Wide m = static_cast<Wide>(next()) * n;
  if (static_cast<std::uint64_t>(m) < n) {
    const std::uint64_t threshold = (0 - n) % n;
    while (static_cast<std::uint64_t>(m) < threshold) m = static_cast<Wide>(next()) * n;
  }
  return static_cast<std::uint64_t>(m >> 64);
}

double RandomStream::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

double RandomStream::normal() {
  const double u = 1.0 - uniform();  // in (0, 1]: its logarithm is finite
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::vector<std::int64_t> RandomStream::permutation(std::int64_t n) {
  std::vector<std::int64_t> items(static_cast<std::size_t>(n));
  std::iota(items.begin(), items.end(), 0);
  shuffle(items);
  return items;
}

std::vector<std::int64_t> RandomStream::sample(std::int64_t n, std::int64_t k) {
  MNEME_CHECK(k <= n, "a sample of {} was asked of {} items", k, n);
  std::vector<std::int64_t> items = permutation(n);
  items.resize(static_cast<std::size_t>(k));
  return items;
}

}  // namespace mneme
