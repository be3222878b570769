// How `mneme plugins check` shows the contract: a line per test, and below those that failed what was found and why.
#include <fmt/format.h>

#include <string>
#include <vector>

#define CATCH_CONFIG_EXTERNAL_INTERFACES  // the base class of reporters
#include "tests/support/catch.h"

namespace {

/// One line, cut where values would fill the screen.
std::string one_line(std::string text) {
  constexpr std::size_t kMost = 200;
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text.size() <= kMost ? text : text.substr(0, kMost) + "…";
}

class ContractReporter final : public Catch::StreamingReporterBase<ContractReporter> {
 public:
  explicit ContractReporter(const Catch::ReporterConfig& config) : StreamingReporterBase(config) {}

  static std::string getDescription() { return "one line per test, and why it failed"; }

  void assertionStarting(const Catch::AssertionInfo&) override {}

  bool assertionEnded(const Catch::AssertionStats& stats) override {
    const auto& result = stats.assertionResult;
    if (result.isOk() || !found_.empty()) return true;  // the first failure of a test says most
    if (result.hasExpression()) {
      found_ = one_line(fmt::format("{}  with  {}", result.getExpression(), result.getExpandedExpression()));
    }
    if (result.hasMessage()) found_ = one_line(result.getMessage()) + (found_.empty() ? "" : "  in  " + found_);
    for (const auto& message : stats.infoMessages)
      if (message.type == Catch::ResultWas::Info) reasons_.push_back(one_line(message.message));
    return true;
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    const bool ok = stats.totals.assertions.failed == 0;
    stream << (ok ? "  ok      " : "  FAILED  ") << stats.testInfo.name << '\n';
    if (!ok) {
      stream << "            found: " << found_ << '\n';
      for (const auto& reason : reasons_) stream << "            " << reason << '\n';
    }
    found_.clear();
    reasons_.clear();
    StreamingReporterBase::testCaseEnded(stats);
  }

  void testRunEnded(const Catch::TestRunStats& stats) override {
    const auto& cases = stats.totals.testCases;
    stream << fmt::format("{} of {} checks passed\n", cases.passed, cases.total());
    StreamingReporterBase::testRunEnded(stats);
  }

 private:
  std::string found_;
  std::vector<std::string> reasons_;
};

CATCH_REGISTER_REPORTER("contract", ContractReporter)

}  // namespace
