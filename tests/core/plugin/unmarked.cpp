// A descriptor without the toolchain marker.
#include "core/plugin.h"

extern "C" {
__attribute__((visibility("default"))) extern const mneme::PluginDescriptor mneme_plugin_v1;
}
const mneme::PluginDescriptor mneme_plugin_v1{};
