// The right toolchain marker, but a descriptor of a later minor version.
#include "core/plugin.h"

extern "C" {
__attribute__((visibility("default"))) extern const char MNEME_TOOLCHAIN_SYMBOL;
__attribute__((visibility("default"))) extern const mneme::PluginDescriptor mneme_plugin_v1;
}
const char MNEME_TOOLCHAIN_SYMBOL = 1;
const mneme::PluginDescriptor mneme_plugin_v1{.struct_size = sizeof(mneme::PluginDescriptor) + 8,
                                              .api_minor = MNEME_PLUGIN_API_MINOR + 1,
                                              .toolchain = MNEME_TOOLCHAIN,
                                              .name = "newer_minor",
                                              .version = "",
                                              .citation = "",
                                              .summary = "",
                                              .capabilities = 0,
                                              .parameters = nullptr,
                                              .create = nullptr};
