#pragma once

#include <string>
#include <string_view>

namespace mneme::record {

/// The text as HDF5 can hold it and every reader can decode it: what is not valid UTF-8, and NUL, becomes U+FFFD. A
/// model that answers byte by byte does produce both.
std::string storable_utf8(std::string_view text);

}  // namespace mneme::record
