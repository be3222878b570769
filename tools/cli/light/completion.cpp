#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {

namespace {
constexpr const char* kHelp = R"(usage: mneme completion bash|zsh|fish

Prints a script that completes commands, options, files, config groups, their options and the keys of an experiment.

  bash   echo 'source <(mneme completion bash)' >> ~/.bashrc
  zsh    echo 'source <(mneme completion zsh)' >> ~/.zshrc      (behind compinit)
  fish   mneme completion fish > ~/.config/fish/completions/mneme.fish
)";

// Bash takes a word apart at '=' and ':' and wants only what follows the last of them.
constexpr const char* kBash = R"(_mneme() {
  local line=${COMP_LINE:0:COMP_POINT} word head candidate
  word=${line##*[[:space:]]}
  head=${word%"${word##*[=:]}"}
  COMPREPLY=()
  while IFS=$'\t' read -r candidate _; do
    COMPREPLY+=("${candidate#"$head"}")
  done < <("${COMP_WORDS[0]}" complete --line "$line" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _mneme mneme
)";

constexpr const char* kZsh = R"(#compdef mneme
_mneme() {
  local -a open closed open_notes closed_notes
  local word note
  while IFS=$'\t' read -r word note; do
    if [[ $word == *[=./] ]]; then
      open+=("$word") open_notes+=("$word${note:+  -- $note}")
    else
      closed+=("$word") closed_notes+=("$word${note:+  -- $note}")
    fi
  done < <("${words[1]}" complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
  (( $#open )) && compadd -l -S '' -d open_notes -a open
  (( $#closed )) && compadd -l -d closed_notes -a closed
}
(( $+functions[compdef] )) && compdef _mneme mneme
)";

constexpr const char* kFish = R"(function __mneme_complete
    set -l words (commandline -opc)
    $words[1] complete -- $words[2..] (commandline -ct) 2>/dev/null
end
complete -c mneme -f -a '(__mneme_complete)'
)";

int completion(const Arguments& arguments) {
  const auto is_help = [](const std::string& word) { return word == "--help" || word == "-h"; };
  if (arguments.empty() || std::any_of(arguments.begin(), arguments.end(), is_help)) {
    fmt::print("{}", kHelp);
    return arguments.empty() ? kUsage : kSuccess;
  }
  const std::vector<std::pair<std::string, const char*>> scripts = {{"bash", kBash}, {"zsh", kZsh}, {"fish", kFish}};
  for (const auto& [shell, script] : scripts) {
    if (arguments.size() != 1 || arguments[0] != shell) continue;
    fmt::print("{}", script);
    return kSuccess;
  }
  throw UsageError(
      fmt::format("completion: unknown shell '{}'{}", arguments[0], hint(arguments[0], {"bash", "zsh", "fish"})));
}
}  // namespace

Command completion_command() {
  return {"completion", "bash|zsh|fish", "a script that completes commands, options and keys in a shell", completion};
}

}  // namespace mneme::cli
