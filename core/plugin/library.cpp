#include "core/plugin/library.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <boost/dll/library_info.hpp>
#include <boost/dll/shared_library.hpp>
#include <cctype>
#include <cstring>
#include <fstream>

#include "core/base/error.h"

namespace mneme::plugin {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kMarkerPrefix = "mneme_toolchain_";
constexpr std::string_view kDescriptorPrefix = "mneme_plugin_v";
const std::string kDescriptor = std::string(kDescriptorPrefix) + MNEME_TOOLCHAIN_STRING(MNEME_PLUGIN_API);

template <class... Args>
[[noreturn]] void refuse(const fs::path& file, fmt::format_string<Args...> text, Args&&... args) {
  throw PluginError(fmt::format("{}: {}", file.string(), fmt::format(text, std::forward<Args>(args)...)));
}

std::vector<std::string> exported_symbols(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) refuse(file, "is not a file; expected a strategy plugin, <name>.so");
  char magic[4] = {};
  std::ifstream(file, std::ios::binary).read(magic, sizeof magic);
  if (std::memcmp(magic, "\177ELF", sizeof magic) != 0)
    refuse(file,
           "is not a shared library (no ELF file); expected a strategy plugin, which mneme_add_strategy() builds");
  try {
    return boost::dll::library_info(file).symbols();
  } catch (const std::exception& e) {
    refuse(file, "is damaged: its symbol table cannot be read ({}); build the plugin again", e.what());
  }
}

/// The one symbol with this prefix, without it; "" if there is none.
std::string find_suffix(const std::vector<std::string>& symbols, std::string_view prefix) {
  for (const auto& symbol : symbols)
    if (symbol.starts_with(prefix)) return symbol.substr(prefix.size());
  return "";
}

/// The parts of a fingerprint: "api1", "gcc12_2_0", …: a part begins with a letter behind an underscore.
std::vector<std::string> fingerprint_parts(const std::string& toolchain) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < toolchain.size(); ++i) {
    if (toolchain[i] == '_' && i + 1 < toolchain.size() && std::isalpha(static_cast<unsigned char>(toolchain[i + 1])))
      parts.emplace_back();
    else
      parts.back() += toolchain[i];
  }
  return parts;
}

/// "torch2_10_0 instead of torch2_11_0, …".
std::string differences(const std::string& theirs, const std::string& ours) {
  const auto found = fingerprint_parts(theirs), expected = fingerprint_parts(ours);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i)
    if (found[i] != expected[i]) texts.push_back(fmt::format("{} instead of {}", found[i], expected[i]));
  return fmt::format("{}", fmt::join(texts, ", "));
}

void check_toolchain(const fs::path& file, const std::string& theirs) {
  const std::string ours = program_toolchain();
  if (theirs == ours) return;
  refuse(
      file,
      "built for toolchain {}, this program is {} ({}); rebuild the plugin with this program's compiler, LibTorch and "
      "headers, through find_package(mneme)",
      theirs, ours, differences(theirs, ours));
}

/// Stage 1: nothing of the plugin runs.
void check_symbols(const fs::path& file) {
  const auto symbols = exported_symbols(file);
  const std::string api = find_suffix(symbols, kDescriptorPrefix);
  if (api.empty())
    refuse(file,
           "is a shared library but no strategy plugin: it exports no symbol {}; end its source with "
           "MNEME_STRATEGY_PLUGIN(...) and build it with mneme_add_strategy()",
           kDescriptor);
  if (kDescriptorPrefix.data() + api != kDescriptor)
    refuse(file,
           "has plugin interface version {}, this program has version {}; rebuild the plugin against this program "
           "(a changed interface may need changes in its source)",
           api, MNEME_PLUGIN_API);
  const std::string toolchain = find_suffix(symbols, kMarkerPrefix);
  if (toolchain.empty())
    refuse(file,
           "exports no symbol {}… that names its toolchain; end its source with MNEME_STRATEGY_PLUGIN(...) and "
           "build it with mneme_add_strategy()",
           kMarkerPrefix);
  check_toolchain(file, toolchain);
}

/// Stage 2: opens the library for good.
const PluginDescriptor& open_library(const fs::path& file) {
  const std::string path = fs::canonical(file).string();
  boost::dll::shared_library library;
  try {
    library.load(path, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  } catch (const std::exception& e) {
    refuse(file, "cannot be loaded: {}; rebuild the plugin", e.what());
  }
  // Boost.DLL closes what it opened; this keeps the library for the life of the process.
  ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
  return library.get<const PluginDescriptor>(kDescriptor);
}

void check_descriptor(const fs::path& file, const PluginDescriptor& d) {
  if (d.struct_size < sizeof(PluginDescriptor) || d.api_minor > MNEME_PLUGIN_API_MINOR)
    refuse(file, "has plugin interface {}.{} ({} bytes), this program {}.{} ({} bytes); rebuild the plugin against it",
           MNEME_PLUGIN_API, d.api_minor, d.struct_size, MNEME_PLUGIN_API, MNEME_PLUGIN_API_MINOR,
           sizeof(PluginDescriptor));
  check_toolchain(file, d.toolchain == nullptr ? "unknown" : d.toolchain);
  for (const char* text : {d.name, d.version, d.summary})
    if (text == nullptr || *text == 0)
      refuse(file, "its descriptor lacks a name, version or summary; give them to MNEME_STRATEGY_PLUGIN");
  if (d.citation == nullptr)
    refuse(file, "its descriptor lacks a citation; give \"\" to MNEME_STRATEGY_PLUGIN if there is none");
  if (d.parameters == nullptr || d.create == nullptr)
    refuse(file, "its descriptor lacks parameters() or create(); make it with MNEME_STRATEGY_PLUGIN");
}

}  // namespace

const char* program_toolchain() { return MNEME_TOOLCHAIN; }

const PluginDescriptor& open_plugin(const fs::path& file) {
  check_symbols(file);
  const PluginDescriptor& descriptor = open_library(file);
  check_descriptor(file, descriptor);
  return descriptor;
}

}  // namespace mneme::plugin
