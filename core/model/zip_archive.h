#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace mneme::model {

/// The entries of a zip archive by name, as views of its bytes. All must be stored, not compressed. Throws Error naming
/// `where` and the entry for what is cut off, damaged, compressed, encrypted or not a zip archive.
std::map<std::string, std::span<const std::byte>> read_stored_zip(std::span<const std::byte> bytes,
                                                                  const std::string& where);

}  // namespace mneme::model
