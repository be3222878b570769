// Plain fine-tuning that goes wrong in the way that it is told to: for the tests of launching.
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "core/plugin.h"

namespace {

/// Address space of this process, bytes.
rlim_t address_space() {
  std::ifstream in("/proc/self/statm");
  rlim_t pages = 0;
  in >> pages;
  return pages * 4096;
}

class Misbehave final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {{"how", kChoice, "not", "not|abort|throw|memory|exit|diverge|deaf", "what goes wrong, in the second task"}};
  }
  explicit Misbehave(const mneme::Params& params) : how_(params.choice("how")) {}

  void before_task(mneme::Learner&, const mneme::TaskView& task) override {
    if (task.stage < 2) return;
    if (how_ == "abort") std::abort();
    if (how_ == "exit") std::_Exit(9);
    if (how_ == "throw") throw std::runtime_error("the basis is singular");
    if (how_ == "memory") exhaust_memory();
    if (how_ == "deaf") be_deaf();
  }

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms = Strategy::loss(learner, step);
    if (how_ == "diverge" && learner.step() > 6) terms[0].value = terms[0].value * NAN;
    return terms;
  }

 private:
  /// Takes all the memory that this process may have, 256 MiB more than now: the machine is not to feel it.
  void exhaust_memory() {
    const rlim_t most = address_space() + (rlim_t{256} << 20);
    const rlimit limit{most, most};
    ::setrlimit(RLIMIT_AS, &limit);
    for (;;) blocks_.push_back(at::ones({1 << 20}));
  }

  /// Hears no request to stop.
  [[noreturn]] static void be_deaf() {
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, SIG_IGN);
    for (;;) ::pause();
  }

  std::string how_;
  std::vector<at::Tensor> blocks_;
};

}  // namespace

MNEME_STRATEGY_PLUGIN(
    Misbehave, {.name = "misbehave", .version = "1.0", .citation = "", .summary = "Goes wrong as it is told to"});
