#include "core/base/error.h"

namespace mneme {

Error::Error(std::string message) : message_(std::move(message)), full_(message_) {}

void Error::add_context(std::string frame) { full_ += "\n  while " + std::move(frame); }

// Key functions: one home for the type information, so that a plugin's exception is caught by type in the program.
Error::~Error() = default;
ConfigError::~ConfigError() = default;
UsageError::~UsageError() = default;
DataError::~DataError() = default;
PluginError::~PluginError() = default;
RecordError::~RecordError() = default;

namespace detail {

void throw_check_failed(const char* file, int line, const char* condition, std::string message) {
  const std::string_view path(file);
  const auto slash = path.rfind('/');
  throw Error(fmt::format("{} [{}:{}: {}]", message, path.substr(slash == path.npos ? 0 : slash + 1), line, condition));
}

}  // namespace detail
}  // namespace mneme
