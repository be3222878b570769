#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mneme {

/// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(const void* data, std::size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }

  /// Lower-case hex digest of all bytes so far (64 digits). The object can be updated no more afterwards.
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// SHA-256 of a text, 64 lower-case hex digits.
std::string sha256_hex(std::string_view text);

/// SHA-256 of a file's bytes. Throws Error if the file cannot be read.
std::string sha256_file(const std::string& path);

/// 64-bit FNV-1a; for seeds and hash tables, not for content identity.
std::uint64_t fnv1a(std::string_view text);

}  // namespace mneme
