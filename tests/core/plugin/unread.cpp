// A plugin whose constructor ignores a parameter.
#include "core/plugin.h"

namespace {
class Unread final : public mneme::Strategy {
 public:
  explicit Unread(const mneme::Params& params) { params.real("used"); }
  static mneme::ParamSpecs parameters() {
    return {{"used", mneme::ParamType::kReal, "1", "", "is read"},
            {"ignored", mneme::ParamType::kReal, "1", "", "is not"}};
  }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Unread, {.name = "unread", .version = "1", .citation = "", .summary = "Ignores a parameter"});
