// What every strategy plugin must keep about its settings.
#include <yaml-cpp/yaml.h>

#include <set>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {

/// The ends of a range such as "[0, 1)", ">= 1"; an open end is not among them.
std::vector<double> closed_ends(const std::string& range) {
  std::vector<double> ends;
  if (range.starts_with(">=") || range.starts_with("<=")) ends.push_back(std::stod(range.substr(2)));
  if (range.starts_with("[")) ends.push_back(std::stod(range.substr(1)));
  if (range.ends_with("]")) ends.push_back(std::stod(range.substr(range.find(',') + 1)));
  return ends;
}

ParamValue number(ParamType type, double value) {
  if (type == ParamType::kInt) return static_cast<std::int64_t>(value);
  return value;
}

}  // namespace

TEST_CASE("the defaults make a strategy that reads every setting", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    CHECK_NOTHROW(make_strategy(name));
  }
}

TEST_CASE("keys are unique, documented, and defaults lie in their ranges", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    std::set<std::string> keys;
    for (const auto& spec : built_plugins().load(name).parameters()) {
      INFO(name << ": " << spec.key);
      CHECK(keys.insert(spec.key).second);
      CHECK(spec.key != "name");
      CHECK_FALSE(spec.help.empty());
      CHECK_NOTHROW(Params::defaults({spec}));
    }
  }
}

TEST_CASE("the ends of ranges and every choice are accepted", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    for (const auto& spec : built_plugins().load(name).parameters()) {
      if (spec.type == ParamType::kInt || spec.type == ParamType::kReal) {
        for (const double end : closed_ends(spec.range)) {
          INFO(name << ": " << spec.key << " = " << end);
          CHECK_NOTHROW(make_strategy(name, {{spec.key, number(spec.type, end)}}));
        }
      }
      if (spec.type != ParamType::kChoice) continue;
      std::istringstream words(spec.range);
      for (std::string word; std::getline(words, word, '|');) {
        INFO(name << ": " << spec.key << " = " << word);
        CHECK_NOTHROW(make_strategy(name, {{spec.key, word}}));
      }
    }
  }
}

TEST_CASE("the settings file beside the plugin names it and only declared settings", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    const auto info = built_plugins().info(name);
    auto file = info.file;
    file.replace_extension(".yaml");
    INFO(file.string());
    REQUIRE(std::filesystem::exists(file));
    std::set<std::string> declared{"name"};
    for (const auto& spec : info.parameters) declared.insert(spec.key);
    const YAML::Node settings = YAML::LoadFile(file.string());
    REQUIRE(settings["name"]);
    CHECK(settings["name"].as<std::string>() == info.name);
    for (const auto& entry : settings) {
      INFO(entry.first.as<std::string>());
      CHECK(declared.contains(entry.first.as<std::string>()));
    }
  }
}
