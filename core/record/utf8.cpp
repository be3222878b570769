#include "core/record/utf8.h"

#include <algorithm>

#include "core/base/unicode.h"

namespace mneme::record {

std::string storable_utf8(std::string_view text) {
  if (!find_invalid_utf8(text) && text.find('\0') == text.npos) return std::string(text);
  std::u32string points = decode_utf8(text);
  std::replace(points.begin(), points.end(), U'\0', U'\uFFFD');
  return encode_utf8(points);
}

}  // namespace mneme::record
