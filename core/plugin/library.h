#pragma once

#include <filesystem>
#include <string>

#include "core/strategy/descriptor.h"

namespace mneme::plugin {

/// The toolchain fingerprint of this program; a plugin's must be equal.
const char* program_toolchain();

/// Opens one strategy plugin, in two stages. First its ELF symbols are listed, without running anything of it: both
/// exported symbols must be there, and the name of the marker must be that of this program's toolchain. Only then the
/// library is opened, with all symbols resolved at once and kept to itself, and its descriptor is checked. It stays
/// open until the process ends: what it made may live as long. \param file an existing file. Throws PluginError with
/// the file, what is wrong with it and what to do.
const PluginDescriptor& open_plugin(const std::filesystem::path& file);

}  // namespace mneme::plugin
