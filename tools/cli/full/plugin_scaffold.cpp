#include "tools/cli/full/plugin_scaffold.h"

#include <algorithm>
#include <cctype>

#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {

// @name@ is the strategy, @Class@ its class.
constexpr const char* kSource = R"(/// \file What the method does, in one line.
/// Source: the paper, its equation numbers.
/// Deviations: none.
#include "core/plugin.h"

namespace {

class @Class@ final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {{"strength", kReal, "0.1", ">= 0", "weight of the pull to the last task's parameters"}};
  }
  explicit @Class@(const mneme::Params& params) : strength_(params.real("strength")) {}

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms = Strategy::loss(learner, step);
    if (!anchor_.defined() || strength_ == 0) return terms;
    const at::Tensor distance = (learner.parameters() - anchor_).square().sum();
    terms.push_back(learner.regulariser("@name@", distance, strength_, step));
    return terms;
  }

  void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
    anchor_ = learner.bank().values().clone();
  }

  void visit_state(mneme::StateVisitor& visitor) override { visitor.tensor("anchor", anchor_); }

  mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override { return {.kept = run.vectors(1)}; }

 private:
  double strength_;
  at::Tensor anchor_;  // [n]; undefined before the first task has ended
};

}  // namespace

MNEME_STRATEGY_PLUGIN(@Class@, {.name = "@name@",
                      .version = "1.0",
                      .citation = "",
                      .summary = "A quadratic pull to the last task's parameters",
                      .capabilities = mneme::kStoresModelCopy});
)";

constexpr const char* kConfig = R"(name: @name@
strength: 0.1
)";

constexpr const char* kTest = R"(#include <ATen/ATen.h>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("@name@ with strength 0 is seq bit for bit", "[@name@]") {
  const auto seq = trained("seq");
  const auto run = trained("@name@", {{"strength", 0.0}});
  CHECK(run->sink.losses() == seq->sink.losses());
  CHECK(at::equal(run->all_values(), seq->all_values()));
}
)";

constexpr const char* kListInTree =
    R"(mneme_add_strategy(@name@ SOURCES @name@.cpp TESTS @name@_test.cpp CONFIG @name@.yaml)
)";

constexpr const char* kListOutOfTree =
    R"(# cmake -S . -B build -DCMAKE_PREFIX_PATH=<where Mneme is installed> && cmake --build build && ctest --test-dir build
# mneme run … strategy=@name@ with MNEME_PLUGIN_PATH=build/lib/mneme/strategies
cmake_minimum_required(VERSION 3.25)
project(@name@ LANGUAGES CXX)
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
enable_testing()
find_package(mneme REQUIRED)
mneme_add_strategy(@name@ SOURCES @name@.cpp CONFIG @name@.yaml)
)";

/// "my_method" to "MyMethod".
std::string class_name(const std::string& name) {
  std::string result;
  bool upper = true;
  for (const char c : name) {
    if (c != '_') result += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = c == '_';
  }
  return result;
}

std::string filled(std::string text, const std::string& name) {
  for (const auto& [mark, value] : {std::pair{std::string("@name@"), name}, {"@Class@", class_name(name)}})
    for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at)) text.replace(at, mark.size(), value);
  return text;
}

bool is_strategy_name(const std::string& name) {
  return !name.empty() && std::islower(static_cast<unsigned char>(name[0])) != 0 &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_'; });
}

}  // namespace

void write_plugin_scaffold(const std::string& name, const fs::path& directory) {
  if (!is_strategy_name(name))
    throw Error(
        fmt::format("'{}' is no strategy name; expected lower-case letters, digits and _, a letter first", name));
  if (fs::exists(directory) && !fs::is_empty(directory))
    throw Error(fmt::format("{}: is there already; remove it or give another --dir", directory.string()));
  const fs::path parent = fs::absolute(directory).lexically_normal().parent_path();
  const bool in_tree = fs::exists(parent / "CMakeLists.txt") && fs::exists(parent.parent_path() / "core/plugin.h");
  fs::create_directories(directory);
  write_file_atomically(directory / (name + ".cpp"), filled(kSource, name));
  write_file_atomically(directory / (name + ".yaml"), filled(kConfig, name));
  write_file_atomically(directory / "CMakeLists.txt", filled(in_tree ? kListInTree : kListOutOfTree, name));
  if (in_tree) write_file_atomically(directory / (name + "_test.cpp"), filled(kTest, name));
}

}  // namespace mneme::cli
