#include "core/model/zip_archive.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

#include "core/base/error.h"

namespace mneme::model {

namespace {
// The structures of the format (APPNOTE.TXT, section 4.3): a signature and fixed fields, then texts of given lengths.
constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;  ///< stands for "see the 64-bit field"

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::map<std::string, std::span<const std::byte>> entries() const {
    static_assert(std::endian::native == std::endian::little, "the format is little-endian");
    std::map<std::string, std::span<const std::byte>> found;
    auto [at, count] = directory();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (number<std::uint32_t>(at) != kCentral) fail(fmt::format("entry {} of its directory is damaged", i));
      const std::size_t name = number<std::uint16_t>(at + 28), extra = number<std::uint16_t>(at + 30);
      const std::size_t comment = number<std::uint16_t>(at + 32);
      const std::string text = chars(at + kCentralSize, name);
      if (!found.emplace(text, content(at, text)).second) fail(fmt::format("entry '{}' is there twice", text));
      at += kCentralSize + name + extra + comment;
    }
    return found;
  }

 private:
  struct Directory {
    std::uint64_t start, entries;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: {}; expected a zip archive as torch.save() writes it", where_, what));
  }

  template <class Number>
  Number number(std::uint64_t at) const {
    Number value{};
    if (at > bytes_.size() || sizeof value > bytes_.size() - at)
      fail(fmt::format("is cut off or damaged: a field at byte {} of {}", at, bytes_.size()));
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }

  std::string chars(std::uint64_t at, std::size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) fail("is cut off or damaged: a name without its end");
    return {reinterpret_cast<const char*>(bytes_.data()) + at, size};
  }

  /// The end record lies at the end, before a comment of at most 64 KiB.
  std::uint64_t end_record() const {
    if (bytes_.size() < kEndSize) fail(fmt::format("has {} bytes", bytes_.size()));
    const std::uint64_t last = bytes_.size() - kEndSize;
    for (std::uint64_t at = last + 1; at-- > 0 && last - at <= 0xFFFF;)
      if (number<std::uint32_t>(at) == kEnd && at + kEndSize + number<std::uint16_t>(at + 20) == bytes_.size())
        return at;
    fail("has no zip directory: it is cut off, or of the format before PyTorch 1.6");
  }

  Directory directory() const {
    const std::uint64_t end = end_record();
    Directory found{number<std::uint32_t>(end + 16), number<std::uint16_t>(end + 10)};
    if (end >= kLocator64Size && number<std::uint32_t>(end - kLocator64Size) == kLocator64) {
      const auto end64 = number<std::uint64_t>(end - kLocator64Size + 8);
      if (end64 > bytes_.size() - kEnd64Size || number<std::uint32_t>(end64) != kEnd64)
        fail("its 64-bit directory is damaged");
      found = {number<std::uint64_t>(end64 + 48), number<std::uint64_t>(end64 + 32)};
    }
    if (found.entries > bytes_.size() / kCentralSize) fail(fmt::format("says that it has {} entries", found.entries));
    return found;
  }

  std::span<const std::byte> content(std::uint64_t at, const std::string& name) const {
    const auto flags = number<std::uint16_t>(at + 8), method = number<std::uint16_t>(at + 10);
    if ((flags & 1) != 0 || method != 0)
      fail(fmt::format("entry '{}' is {}", name, method != 0 ? "compressed" : "encrypted"));
    std::uint64_t packed = number<std::uint32_t>(at + 20), size = number<std::uint32_t>(at + 24);
    std::uint64_t local = number<std::uint32_t>(at + 42);
    read_extra64(at, size, packed, local);
    if (number<std::uint32_t>(local) != kLocal) fail(fmt::format("entry '{}' does not start where it should", name));
    const std::uint64_t start =
        local + kLocalSize + number<std::uint16_t>(local + 26) + number<std::uint16_t>(local + 28);
    if (packed != size || start > bytes_.size() || size > bytes_.size() - start)
      fail(fmt::format("entry '{}' is said to have {} bytes at {}; the file has {}", name, size, start, bytes_.size()));
    return bytes_.subspan(start, size);
  }

  /// Sizes and offset that do not fit into 32 bits, in this order, those that are there.
  void read_extra64(std::uint64_t at, std::uint64_t& size, std::uint64_t& packed, std::uint64_t& local) const {
    std::uint64_t field = at + kCentralSize + number<std::uint16_t>(at + 28);
    const std::uint64_t end = field + number<std::uint16_t>(at + 30);
    while (field + 4 <= end) {
      const auto kind = number<std::uint16_t>(field), length = number<std::uint16_t>(field + 2);
      std::uint64_t value = field + 4;
      field = value + length;
      if (kind != 1) continue;
      for (std::uint64_t* wide : {&size, &packed, &local}) {
        if (*wide != kIn64) continue;
        *wide = number<std::uint64_t>(value);
        value += 8;
      }
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
};
}  // namespace

std::map<std::string, std::span<const std::byte>> read_stored_zip(std::span<const std::byte> bytes,
                                                                  const std::string& where) {
  return ZipReader(bytes, where).entries();
}

}  // namespace mneme::model
