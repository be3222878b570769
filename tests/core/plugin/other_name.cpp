// A plugin whose file is not named as its strategy.
#include "core/plugin.h"

namespace {
class Other final : public mneme::Strategy {
 public:
  explicit Other(const mneme::Params&) {}
  static mneme::ParamSpecs parameters() { return {}; }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Other,
                      {.name = "another", .version = "1", .citation = "", .summary = "Has a file of another name"});
