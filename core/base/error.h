#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mneme {

/// Base of every exception that Mneme throws on purpose. A message says what happened, where, what was found, what was
/// expected and what to do. Frames added by add_context() while unwinding say what the program was doing.
class Error : public std::exception {
 public:
  explicit Error(std::string message);
  ~Error() override;

  /// The message, then one "  while …" line per context frame, innermost first.
  const char* what() const noexcept override { return full_.c_str(); }
  const std::string& message() const noexcept { return message_; }

  /// Adds an outer frame: what the caller was doing, for instance "reading task 3 'xsum'".
  void add_context(std::string frame);

 private:
  std::string message_;
  std::string full_;
};

/// A config file, override or sweep is wrong. Mostly carries file:line:column in the message.
class ConfigError : public Error {
 public:
  using Error::Error;
  ~ConfigError() override;
};

/// A command line is wrong (exit code 2).
class UsageError : public Error {
 public:
  using Error::Error;
  ~UsageError() override;
};

/// A data file, row or stream is wrong.
class DataError : public Error {
 public:
  using Error::Error;
  ~DataError() override;
};

/// A plugin is missing, broken or built for another toolchain, or broke its contract.
class PluginError : public Error {
 public:
  using Error::Error;
  ~PluginError() override;
};

/// A run record cannot be written or is not valid.
class RecordError : public Error {
 public:
  using Error::Error;
  ~RecordError() override;
};

/// Runs f and adds a context frame to any Error that leaves it.
template <class F>
decltype(auto) with_context(std::string frame, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (Error& e) {
    e.add_context(std::move(frame));
    throw;
  }
}

namespace detail {
[[noreturn]] void throw_check_failed(const char* file, int line, const char* condition, std::string message);
}  // namespace detail

}  // namespace mneme

/// Always-on check of inputs and shapes; the message should print the values found.
#define MNEME_CHECK(condition, ...)                                                                    \
  do {                                                                                                 \
    if (!(condition)) [[unlikely]]                                                                     \
      ::mneme::detail::throw_check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
