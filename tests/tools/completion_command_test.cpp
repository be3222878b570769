#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>

#include "core/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"
#include "tools/cli/light/command_syntax.h"

using namespace mneme;
using Catch::Contains;
namespace fs = std::filesystem;
using Words = std::set<std::string>;

namespace {
const std::string kQuickstart = MNEME_SOURCE_DIR "/experiments/quickstart.yaml";

/// Has the settings of all strategies found, built or not.
const bool kPluginPath = [] {
  std::string path;
  for (const auto& entry : fs::directory_iterator(MNEME_SOURCE_DIR "/plugins")) path += entry.path().string() + ":";
  return ::setenv("MNEME_PLUGIN_PATH", path.c_str(), 1) == 0;
}();

/// The candidates for the last word of a command line, without their notes.
Words complete(const std::string& line) {
  const test::Outcome outcome = test::run_program("mneme", fmt::format("complete --line \"mneme {}\"", line));
  REQUIRE(outcome.code == 0);
  Words words;
  std::istringstream lines(outcome.output);
  for (std::string text; std::getline(lines, text);) words.insert(text.substr(0, text.find('\t')));
  return words;
}

bool has(const Words& words, const std::string& word) { return words.contains(word); }
}  // namespace

TEST_CASE("commands, actions and options are completed", "[command]") {
  CHECK(complete("re") == Words{"resume"});
  CHECK(complete("p") == Words{"plan", "plugins", "pretrain"});
  CHECK(complete("config ") == Words{"--help", "selftest", "show"});
  CHECK(complete("plan --o") == Words{"--on-error", "--out"});
  CHECK(complete("run x.yaml --launcher ") == Words{"local", "slurm"});
  CHECK(complete("completion ") == Words{"--help", "bash", "fish", "zsh"});
  CHECK(complete("nothing ").empty());
  REQUIRE(kPluginPath);
  CHECK(has(complete("plugins show e"), "ewc"));
  CHECK(has(complete("data check mi"), "mini8"));
  CHECK_FALSE(has(complete("data check _"), "_long15_tasks"));
  CHECK(complete("metrics score ble") == Words{"bleu1", "bleu4"});
  CHECK(has(complete("table x --metrics aa.last,bw"), "aa.last,bwt.gem"));
}

TEST_CASE("files are completed where a file is expected", "[command]") {
  const test::TemporaryDirectory directory;
  const std::string root = directory.path().string();
  fs::create_directories(directory.path() / "below");
  write_file_atomically(directory.path() / "a.yaml", "seed: 1\n");
  write_file_atomically(directory.path() / "a.txt", "");
  write_file_atomically(directory.path() / ".hidden.yaml", "");
  CHECK(complete("run " + root + "/") == Words{root + "/a.yaml", root + "/below/"});
  CHECK(complete("status " + root + "/") == Words{root + "/below/"});
  CHECK(complete("config selftest " + root + "/a") == Words{root + "/a.txt", root + "/a.yaml"});
}

TEST_CASE("overrides: groups, options and keys one level at a time", "[command]") {
  const std::string run = "run " + kQuickstart + " ";
  CHECK(complete(run + "strat") == Words{"strategy.", "strategy="});
  CHECK(complete(run + "adapter=lora_a") == Words{"adapter=lora_all"});
  CHECK(has(complete(run + "strategy=er,ew"), "strategy=er,ewc"));
  CHECK(complete(run + "train.learning_rate") == Words{"train.learning_rate="});
  CHECK(complete(run + "train.learning_rate=") == Words{"train.learning_rate=0.0025"});
  CHECK(complete(run + "save.checkpoint=") == Words{"save.checkpoint=true", "save.checkpoint=false"});
  CHECK(complete(run + "~see") == Words{"~seed"});
  CHECK(complete(run + "++see") == Words{"++seed="});
  CHECK(complete(run + "hydra.job.n") == Words{"hydra.job.name=", "hydra.job.num="});
  CHECK(complete("resume . launcher.jo") == Words{"launcher.jobs="});
  CHECK(complete(run + "nothing.like").empty());
}

TEST_CASE("parameters of a strategy are completed from its plugin's settings", "[command]") {
  // quickstart sweeps the strategy: the keys of each are known
  CHECK(complete("run " + kQuickstart + " strategy.fisher") == Words{"strategy.fisher_samples="});
  const std::string chosen = "config show " + kQuickstart + " strategy=ewc ";
  CHECK(complete(chosen + "strategy.lam") == Words{"strategy.lambda="});
  CHECK(complete(chosen + "nonsense=1 ++half= strategy.lam") == Words{"strategy.lambda="});
}

TEST_CASE("scripts for three shells; anything else is a usage error", "[command]") {
  for (const std::string shell : {"bash", "zsh", "fish"})
    CHECK_THAT(test::run_program("mneme", "completion " + shell).output, Contains("complete") && Contains("mneme"));
  const test::Outcome wrong = test::run_program("mneme", "completion zhs");
  CHECK(wrong.code == 2);
  CHECK_THAT(wrong.output, Contains("unknown shell 'zhs'; did you mean 'zsh'?"));
}

TEST_CASE("bash completes a line with the script", "[command]") {
  const test::TemporaryDirectory directory;
  write_file_atomically(directory.path() / "try.sh",
                        "PATH=$1:$PATH; source <(mneme completion bash)\n"
                        "try() { COMP_LINE=$1 COMP_POINT=${#1}; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1));\n"
                        "  _mneme; echo \"${COMPREPLY[*]}\"; }\n"
                        "try 'mneme conf' mneme conf\n"
                        "try \"mneme run $2 adapter=lora_a\" mneme run \"$2\" adapter = lora_a\n"
                        "try \"mneme run $2 strategy=er,ew\" mneme run \"$2\" strategy = er,ew\n");
  const test::Outcome outcome = test::run_shell(
      fmt::format("bash {} {} {}", (directory.path() / "try.sh").string(), MNEME_BINARY_DIR "/bin", kQuickstart));
  CHECK_THAT(outcome.output, Contains("config\nlora_all\ner,ewc\n"));
}

TEST_CASE("every command that the program's help lists can be completed", "[command]") {
  const std::string help = test::run_program("mneme", "--help").output;
  Words listed, known;
  std::istringstream lines(help.substr(0, help.find("config groups")));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("  ")) listed.insert(line.substr(2, line.find(' ', 2) - 2));
  for (const cli::CommandSyntax& syntax : cli::command_syntax()) known.insert(syntax.command);
  CHECK(listed == known);  // a new command needs its words in command_syntax.cpp
}

TEST_CASE("what is completed is what the commands' help tells", "[command]") {
  for (const cli::CommandSyntax& syntax : cli::command_syntax()) {
    const std::set<std::string> elsewhere = {"model", "pretrain", "plugins"};  // mneme-run tells them
    if (elsewhere.contains(syntax.command) || syntax.command == "version") continue;
    const std::string help = test::run_program("mneme", syntax.command + " --help").output;
    CAPTURE(syntax.command, syntax.action);
    CHECK_THAT(help, Contains(syntax.action));
    for (const cli::OptionSyntax& option : syntax.options) CHECK_THAT(help, Contains(option.name));
    Words told;
    const std::regex pattern("--[a-z][a-z-]+");
    for (std::sregex_iterator at(help.begin(), help.end(), pattern), end; at != end; ++at) told.insert(at->str());
    for (const std::string& option : told) {
      const auto knows = [&](const cli::CommandSyntax& other) {
        return other.command == syntax.command &&
               std::any_of(other.options.begin(), other.options.end(), [&](const auto& o) { return o.name == option; });
      };
      const auto& all = cli::command_syntax();
      CHECK((option == "--help" || option == "--cfg" || std::any_of(all.begin(), all.end(), knows)));
    }
  }
}
