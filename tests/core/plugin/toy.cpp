// A plugin that may be loaded.
#include "core/plugin.h"

namespace {
class Toy final : public mneme::Strategy {
 public:
  explicit Toy(const mneme::Params& params) {
    if (params.real("strength") > 1) throw mneme::PluginError("strength above 1 is not for toys");
  }
  static mneme::ParamSpecs parameters() { return {{"strength", mneme::ParamType::kReal, "0.5", ">= 0", "how strong"}}; }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Toy, {.name = "toy",
                            .version = "1.2",
                            .citation = "Nobody 1900",
                            .summary = "Does nothing",
                            .capabilities = mneme::kStoresExamples | mneme::kTaskIdAtTest});
