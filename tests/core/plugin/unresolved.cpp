// A plugin that calls what nobody defines.
#include "core/plugin.h"

void nobody_defines_this();

namespace {
class Unresolved final : public mneme::Strategy {
 public:
  explicit Unresolved(const mneme::Params&) { nobody_defines_this(); }
  static mneme::ParamSpecs parameters() { return {}; }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Unresolved, {.name = "unresolved", .version = "1", .citation = "", .summary = "Is incomplete"});
