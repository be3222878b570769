// A plugin of an older interface.
extern "C" {
__attribute__((visibility("default"))) extern const int mneme_plugin_v0;
}
const int mneme_plugin_v0 = 1;
