#include "core/launch/validate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

/// A file of its own in the temporary directory, removed on scope exit.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content) {
    std::string pattern = (fs::temp_directory_path() / "mneme-runs-XXXXXX").string();
    const int fd = ::mkstemp(pattern.data());
    if (fd < 0) throw Error(fmt::format("{}: cannot be created: {}", pattern, std::strerror(errno)));
    ::close(fd);
    path_ = pattern;
    write_file_atomically(path_, content);
  }
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string trimmed(std::string text) {
  const auto end = text.find_last_not_of(" \n\r\t");
  text.erase(end == text.npos ? 0 : end + 1);
  return text;
}

}  // namespace

std::string validate_runs(const Runner& runner, const std::vector<std::pair<std::string, std::string>>& runs) {
  std::string list = "[";
  for (const auto& [id, config] : runs) {
    if (list.size() > 1) list += ",\n";
    list += fmt::format("{{\"id\": \"{}\", \"config\": {}}}", id, config);
  }
  const TemporaryFile file(list + "]\n");
  ChildOptions options;
  options.arguments = {runner.program.string(), "validate", "--runs", file.path().string()};
  options.environment = runner.environment;
  options.directory = runner.directory;
  const Captured captured = run_and_capture(options);
  if (captured.exit.signal != 0) {
    throw Error(fmt::format("{}: the check of the runs ended by {}: {}", runner.program.string(),
                            signal_name(captured.exit.signal), trimmed(captured.error)));
  }
  if (captured.exit.code != 0) {
    std::string message = trimmed(captured.error);
    if (message.empty()) message = fmt::format("the check of the runs failed with exit code {}", captured.exit.code);
    throw ConfigError(message);
  }
  const auto facts = nlohmann::json::parse(captured.output, nullptr, false);
  return facts.is_array() ? facts.dump() : "[]";
}

}  // namespace mneme::launch
