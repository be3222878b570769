#include "tools/cli/light/config_groups.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/cli/search_path.h"

namespace mneme::cli {

namespace {
constexpr std::size_t kLineWidth = 100;

/// "er, ewc, ilora, … (30)", as many as fit.
std::string shortened(const std::vector<std::string>& names, std::size_t width) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool last = i + 1 == names.size();
    if (text.size() + names[i].size() + (last ? 0 : 12) > width) return fmt::format("{}… ({})", text, names.size());
    text += names[i] + (last ? "" : ", ");
  }
  return text;
}
}  // namespace

config::Repository installed_configs() {
  return config::Repository({share_directory() / "conf/base.yaml", {}, false, search_path()});
}

std::vector<std::string> group_options(const config::Repository& repository, const std::string& group) {
  std::vector<std::string> names = repository.options(group);
  std::erase_if(names, [](const std::string& name) { return name.starts_with('_'); });
  return names;
}

std::string config_groups_help() {
  const config::Repository repository = installed_configs();
  std::string text = "config groups, chosen by GROUP=OPTION:\n\n";
  for (const std::string& group : repository.group_names())
    text += fmt::format("  {:<12} {}\n", group, shortened(group_options(repository, group), kLineWidth - 15));
  return text;
}

}  // namespace mneme::cli
