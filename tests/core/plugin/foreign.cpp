// A plugin built against other headers; its static initialiser must never run.
#undef MNEME_HEADERS_DIGEST
#define MNEME_HEADERS_DIGEST TEST_HEADERS_DIGEST
#include <cstdlib>

#include "core/plugin.h"

namespace {
[[maybe_unused]] const int kTrap = (std::abort(), 0);

class Foreign final : public mneme::Strategy {
 public:
  explicit Foreign(const mneme::Params&) {}
  static mneme::ParamSpecs parameters() { return {}; }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Foreign,
                      {.name = "foreign", .version = "1", .citation = "", .summary = "Is of another toolchain"});
