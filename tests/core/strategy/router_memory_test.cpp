// What the router takes at the published size: 8 tasks of 1000 prompts, width 4096, 10,000 features.
#include <ATen/ATen.h>
#include <sys/resource.h>

#include "core/strategy/analytic_router.h"
#include "tests/support/catch.h"

using namespace mneme;

namespace {
double peak_megabytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}
}  // namespace

TEST_CASE("fitting 8 x 1000 prompts at width 4096 with 10,000 features fits the stated memory", "[router]") {
  constexpr std::int64_t kTasks = 8, kPrompts = 1000, kWidth = 4096;
  RandomStream rng(1, "router/memory");
  const double before = peak_megabytes();
  AnalyticRouter router({.features = "random_relu", .width = 10000, .lambda = 100}, rng);
  at::Tensor z = at::empty({kPrompts, kWidth}, at::kFloat);
  float* values = z.data_ptr<float>();
  std::int64_t right = 0;
  for (std::int64_t task = 0; task < kTasks; ++task) {
    for (std::int64_t i = 0; i < z.numel(); ++i)
      values[i] = static_cast<float>(rng.uniform() - 0.5 + (i % kWidth % kTasks == task ? 0.2 : 0));
    router.learn(task, z);
  }
  for (const std::int64_t chosen : router.route(z)) right += chosen == kTasks - 1;
  CHECK(right > 990);
  StateSizer sizer;
  sizer.object("router", router);
  const double used = peak_megabytes() - before;
  WARN("peak " << used << " MiB, state " << static_cast<double>(sizer.bytes()) / (1 << 20) << " MiB");
  // G (800 MB dense; here G and its factor, each half of that) and P (164 MB) of the specification, and a quarter more
  // for a block of features and what the matrix products allocate.
  CHECK(used < 1.25 * (800e6 + 164e6) / (1 << 20));
  CHECK(static_cast<double>(sizer.bytes()) < 430e6);
}
