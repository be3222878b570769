#include "core/plugin/loader.h"

#include <cstdlib>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/plugin/library.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

const fs::path kGood = fs::path(TEST_PLUGINS) / "good";
const fs::path kBad = fs::path(TEST_PLUGINS) / "bad";

/// The message with which a plugin is refused, "" if it is not. A refusal is always a PluginError naming the plugin.
std::string refusal(const std::string& name_or_path, const std::vector<fs::path>& search = {}) {
  try {
    plugin::PluginRegistry(search).load(name_or_path);
  } catch (const PluginError& e) {
    return e.message();
  }
  return "";
}

}  // namespace

TEST_CASE("a plugin is found by name and by path, and makes a strategy", "[plugin]") {
  plugin::PluginRegistry registry({kGood});
  const PluginDescriptor& toy = registry.load("toy");
  CHECK(&registry.load((kGood / "toy.so").string()) == &toy);
  CHECK(std::string(toy.name) == "toy");
  const plugin::PluginInfo info = registry.info("toy");
  CHECK(info.file == fs::canonical(kGood / "toy.so"));
  CHECK(info.version == "1.2");
  CHECK(info.citation == "Nobody 1900");
  CHECK(info.toolchain == plugin::program_toolchain());
  CHECK(info.capabilities == std::vector<std::string>{"task_id_at_test", "stores_examples"});
  REQUIRE(info.parameters.size() == 1);
  CHECK(info.parameters[0].key == "strength");
  CHECK(plugin::create_strategy(toy, Params::defaults(info.parameters)) != nullptr);
}

TEST_CASE("an exception of a plugin is caught by type and says where it came from", "[plugin]") {
  plugin::PluginRegistry registry({kGood});
  const PluginDescriptor& toy = registry.load("toy");
  try {
    plugin::create_strategy(toy, Params::defaults(toy.parameters(), {{"strength", 2.0}}));
    FAIL("no exception");
  } catch (const PluginError& e) {
    CHECK_THAT(e.what(), Contains("not for toys\n  while making strategy 'toy'"));
  }
}

TEST_CASE("a library stays open when its registry is gone", "[plugin]") {
  const PluginDescriptor* toy = nullptr;
  {
    plugin::PluginRegistry registry({kGood});
    toy = &registry.load("toy");
  }
  CHECK(toy->parameters().at(0).key == "strength");
}

TEST_CASE("a parameter that the constructor ignores is an error", "[plugin]") {
  plugin::PluginRegistry registry({kGood});
  const PluginDescriptor& unread = registry.load("unread");
  CHECK_THROWS_WITH(plugin::create_strategy(unread, Params::defaults(unread.parameters())),
                    Contains("strategy 'unread' declares ignored") && Contains("read it, or do not declare it"));
}

TEST_CASE("a missing plugin names its nearest and the searched directories", "[plugin]") {
  CHECK_THAT(refusal("tyo", {kGood, "/no/such/directory"}),
             Contains("strategy 'tyo' not found; did you mean 'toy'?") && Contains(kGood.string()) &&
                 Contains("/no/such/directory (not there)") && Contains("--plugin-path"));
  CHECK_THAT(refusal("./toy.so"), Contains("./toy.so: there is no such plugin file"));
}

TEST_CASE("the same name in two directories is an error that names both", "[plugin]") {
  const mneme::test::TemporaryDirectory other;
  fs::copy(kGood / "toy.so", other.path());
  const std::string message = refusal("toy", {kGood, other.path()});
  CHECK_THAT(message, Contains("more than once") && Contains((other.path() / "toy.so").string()) &&
                          Contains(fs::canonical(kGood / "toy.so").string()));
  // One directory by two ways is one directory.
  fs::create_directory_symlink(kGood, other.path() / "link");
  CHECK(refusal("toy", {kGood, other.path() / "link"}).empty());
}

TEST_CASE("files that are no plugins are refused", "[plugin]") {
  const mneme::test::TemporaryDirectory directory;
  const auto refused = [&](const std::string& name, const std::string& content) {
    write_file_atomically(directory.path() / name, content);
    const std::string message = refusal(name.substr(0, name.size() - 3), {directory.path()});
    CHECK_THAT(message, Contains((directory.path() / name).string()));
    return message;
  };
  CHECK_THAT(refused("text.so", "this is a text"), Contains("is not a shared library (no ELF file)"));
  CHECK_THAT(refused("empty.so", ""), Contains("is not a shared library"));
  const std::string whole = read_file(kGood / "toy.so");
  CHECK_THAT(refused("cut.so", whole.substr(0, whole.size() / 3)),
             Contains("is damaged") && Contains("build the plugin again"));
  CHECK_THAT(refused("header.so", whole.substr(0, 64)), Contains("is damaged"));
  fs::create_directories(directory.path() / "folder.so");
  CHECK_THAT(refusal("folder", {directory.path()}), Contains("folder.so: is not a file"));
  CHECK_THAT(refusal((kBad / "no_plugin.so").string()),
             Contains("no strategy plugin: it exports no symbol mneme_plugin_v1") && Contains("MNEME_STRATEGY_PLUGIN"));
}

TEST_CASE("a plugin of another toolchain is refused before any of its code runs", "[plugin]") {
  // Its static initialiser would abort this program.
  const std::string message = refusal("foreign", {kBad});
  CHECK_THAT(message, Contains("foreign.so: built for toolchain api1_") && Contains(plugin::program_toolchain()) &&
                          Contains("(headers0123456789ab instead of headers") && Contains("rebuild the plugin"));
}

TEST_CASE("plugins of another interface, incomplete or misnamed ones are refused", "[plugin]") {
  CHECK_THAT(refusal("old_api", {kBad}),
             Contains("has plugin interface version 0, this program has version 1; rebuild"));
  CHECK_THAT(refusal("newer_minor", {kBad}), Contains("has plugin interface 1.1") && Contains("this program 1.0"));
  CHECK_THAT(refusal("unmarked", {kBad}), Contains("exports no symbol mneme_toolchain_"));
  CHECK_THAT(refusal("unresolved", {kBad}),
             Contains("cannot be loaded") && Contains("nobody_defines_this") && Contains("rebuild the plugin"));
  CHECK_THAT(refusal("other_name", {kGood}),
             Contains("holds the strategy 'another'; the file must be named another.so"));
}

TEST_CASE("the list shows what can be used and why the rest cannot", "[plugin]") {
  const auto infos = plugin::PluginRegistry({kGood, kBad}).list();
  std::vector<std::string> usable, all;
  for (const auto& info : infos) {
    all.push_back(info.name);
    if (info.error.empty()) usable.push_back(info.name);
  }
  CHECK(usable == std::vector<std::string>{"toy", "unread"});
  CHECK(std::is_sorted(all.begin(), all.end()));
  CHECK(all.size() == 9);
}

TEST_CASE("the search path ends at the installation", "[plugin]") {
  ::setenv("MNEME_PLUGIN_PATH", "/a:/b::", 1);
  const auto path = plugin::plugin_search_path({"/first"});
  ::unsetenv("MNEME_PLUGIN_PATH");
  CHECK(path == std::vector<fs::path>{"/first", "/a", "/b", fs::path(MNEME_BINARY_DIR) / "lib/mneme/strategies"});
  CHECK(plugin::plugin_search_path().size() == 1);
}
