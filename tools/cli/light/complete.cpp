#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/config/repository.h"
#include "core/metric/continual_metric.h"
#include "core/metric/text_metric.h"
#include "tools/cli/light/command_syntax.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/complete_overrides.h"
#include "tools/cli/light/config_groups.h"
#include "tools/cli/search_path.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {
/// The words of a command line without the program's name, as a shell splits them; the last is the one to complete.
Arguments split_line(const std::string& line) {
  Arguments words(1);
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0 ? c == quote : c == '\'' || c == '"') {
      quote = quote != 0 ? 0 : c;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else if (quote == 0 && (c == ' ' || c == '\t')) {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  words.erase(words.begin());
  return words;
}

class Completion {
 public:
  explicit Completion(Arguments words) : words_(std::move(words)), word_(words_.empty() ? "" : words_.back()) {
    if (!words_.empty()) words_.pop_back();
  }

  std::vector<Candidate> candidates() {
    if (words_.empty()) {
      for (const Command& command : all_commands())
        if (!command.summary.empty()) offer(command.name, command.summary);
      for (const char* option : {"--help", "--version"}) offer(option, "");
    } else if (choose_syntax()) {
      argument();
    }
    std::sort(found_.begin(), found_.end(), [](const Candidate& a, const Candidate& b) { return a.word < b.word; });
    return std::move(found_);
  }

 private:
  void offer(const std::string& word, const std::string& note) {
    if (word.starts_with(word_)) found_.push_back({word, note});
  }

  /// Finds the command and the action; offers actions where one is still to be written.
  bool choose_syntax() {
    for (const CommandSyntax& syntax : command_syntax()) {
      if (syntax.command != words_[0]) continue;
      if (syntax.action.empty() || (words_.size() > 1 && words_[1] == syntax.action)) {
        syntax_ = &syntax;
        next_ = syntax.action.empty() ? 1 : 2;
        return true;
      }
      if (words_.size() == 1) offer(syntax.action, "");
    }
    if (words_.size() == 1 && !found_.empty()) offer("--help", "");
    return false;
  }

  const OptionSyntax* option(const std::string& name) const {
    for (const OptionSyntax& known : syntax_->options)
      if (known.name == name) return &known;
    return nullptr;
  }

  void argument() {
    for (std::size_t i = next_; i < words_.size(); ++i) {
      const OptionSyntax* given = option(words_[i]);
      if (given != nullptr && given->takes_value) {
        if (i + 1 == words_.size()) return value_of(*given);
        if (given->name == "--plugin-path")
          plugin_paths_.emplace_back(words_[++i]);
        else if (given->name == "--config-dir")
          config_dirs_.emplace_back(words_[++i]);
        else
          ++i;
      } else if (!words_[i].starts_with("-")) {
        operands_.push_back(words_[i]);
      }
    }
    if (word_.starts_with("-")) {
      for (const OptionSyntax& known : syntax_->options) offer(known.name, "");
      return offer("--help", "");
    }
    if (syntax_->operands.empty()) return;
    const Operand last = syntax_->operands.back();
    const bool repeats = last == Operand::kOverrides || last == Operand::kLauncherOverrides ||
                         last == Operand::kDataOverrides || syntax_->command == "table";
    if (operands_.size() >= syntax_->operands.size() && !repeats) return;
    operand(syntax_->operands[std::min(operands_.size(), syntax_->operands.size() - 1)]);
  }

  void value_of(const OptionSyntax& given) {
    for (const std::string& value : given.values) offer(value, "");
    operand(given.operand);
  }

  void operand(Operand kind) {
    switch (kind) {
      case Operand::kNone:
        return;
      case Operand::kConfigFile:
        return paths([](const fs::path& path) { return path.extension() == ".yaml" || path.extension() == ".yml"; });
      case Operand::kFile:
        return paths([](const fs::path&) { return true; });
      case Operand::kDirectory:
        return paths([](const fs::path&) { return false; });
      case Operand::kStream:
        return options_of("stream");
      case Operand::kStrategy:
        return options_of("strategy");
      case Operand::kMetric:
        return metrics();
      case Operand::kOverrides:
        return overrides({operands_[0], {operands_.begin() + 1, operands_.end()}, true, {}});
      case Operand::kLauncherOverrides:
        if (word_.starts_with("launcher.")) return overrides({share_directory() / "conf/base.yaml", {}, true, {}});
        return offer("launcher.", "");
      case Operand::kDataOverrides:
        config::Request request{share_directory() / "conf/data.yaml", {}, true, {}};
        if (!operands_.empty() && syntax_->action != "list") request.overrides = {"stream=" + operands_[0]};
        return overrides(std::move(request));
    }
  }

  std::vector<config::SearchRoot> roots() const {
    std::vector<config::SearchRoot> result;
    for (const fs::path& directory : config_dirs_) result.push_back({directory, ""});
    const auto standard = search_path(plugin_paths_);
    result.insert(result.end(), standard.begin(), standard.end());
    return result;
  }

  void overrides(config::Request request) {
    request.search_path = roots();
    for (const Candidate& candidate : complete_override(std::move(request), word_))
      offer(candidate.word, candidate.note);
  }

  void options_of(const std::string& group) {
    const config::Repository repository({share_directory() / "conf/base.yaml", {}, false, roots()});
    for (const std::string& name : group_options(repository, group)) offer(name, "");
  }

  /// Several may stand behind one another, with commas.
  void metrics() {
    const auto comma = word_.rfind(',');
    const std::string before = comma == std::string::npos ? "" : word_.substr(0, comma + 1);
    const bool scores = syntax_->command == "metrics";
    if (scores)
      for (const auto& metric : metric::text_metrics()) offer(before + metric.id, "");
    else
      for (const auto& metric : metric::continual_metrics()) offer(before + metric.id, metric.formula);
  }

  template <class F>
  void paths(F&& is_wanted) {
    const auto slash = word_.rfind('/');
    const std::string directory = slash == std::string::npos ? "" : word_.substr(0, slash + 1);
    std::error_code error;
    for (fs::directory_iterator entry(directory.empty() ? "." : directory, error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = entry->path().filename();
      if (name.starts_with(".") && !word_.substr(directory.size()).starts_with(".")) continue;
      std::error_code ignored;
      if (entry->is_directory(ignored))
        offer(directory + name + "/", "");
      else if (is_wanted(entry->path()))
        offer(directory + name, "");
    }
  }

  Arguments words_;  // before the one to complete
  std::string word_;
  const CommandSyntax* syntax_ = nullptr;
  std::size_t next_ = 0;
  Arguments operands_;
  std::vector<fs::path> plugin_paths_, config_dirs_;
  std::vector<Candidate> found_;
};

int complete(const Arguments& arguments) {
  const bool line = arguments.size() == 2 && arguments[0] == "--line";
  if (!line && (arguments.empty() || arguments[0] != "--"))
    throw UsageError("complete: expected --line LINE, or -- and the words of a command line");
  Completion completion(line ? split_line(arguments[1]) : Arguments(arguments.begin() + 1, arguments.end()));
  std::string text;
  for (const Candidate& candidate : completion.candidates())
    text += candidate.word + (candidate.note.empty() ? "" : "\t" + candidate.note) + "\n";
  fmt::print("{}", text);
  return kSuccess;
}
}  // namespace

Command complete_command() { return {"complete", "--line LINE | -- WORD…", "", complete}; }

}  // namespace mneme::cli
