#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/base/param_spec.h"

namespace mneme {

/// null, or the value of a parameter in the type that its ParamSpec names (choices are texts).
using ParamValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                                std::vector<double>, std::vector<std::string>>;

/// "flag", "integer", "real", "text", "choice", "list of integers", "list of reals", "list of texts".
const char* to_string(ParamType type);

/// The value that a spec's default text stands for: "1e-4", "true", "null", "[q, v]", "a text". Throws Error if the
/// text does not fit the type or the default is missing ("???").
ParamValue default_value(const ParamSpec& spec);

/// The settings of a strategy: each declared parameter has a value of its type, and nothing else is there. Reading a
/// parameter marks it: the core refuses a strategy whose constructor leaves one unread, since a setting that nothing
/// reads is an error.
class Params {
 public:
  /// Throws Error unless the values' keys are exactly the specs' keys, with values of their types and in their ranges.
  Params(ParamSpecs specs, std::map<std::string, ParamValue> values);
  /// Every parameter at its default, but for these.
  static Params defaults(const ParamSpecs& specs, const std::map<std::string, ParamValue>& changes = {});

  Params(Params&&) = default;
  Params(const Params&) = delete;  // a copy would not share the marks
  Params& operator=(const Params&) = delete;

  // Each throws Error if the key is not declared (with the nearest one), has another type or is null.
  double real(const std::string& key) const;
  std::int64_t integer(const std::string& key) const;
  bool flag(const std::string& key) const;
  const std::string& text(const std::string& key) const;
  const std::string& choice(const std::string& key) const;  ///< one of the declared words
  const std::vector<std::int64_t>& integers(const std::string& key) const;
  const std::vector<double>& reals(const std::string& key) const;
  const std::vector<std::string>& texts(const std::string& key) const;
  /// Whether a nullable parameter is null. Does not count as reading it, unless it is null.
  bool is_null(const std::string& key) const;

  /// Declared keys that nothing has read so far, in the order of the specs.
  std::vector<std::string> unread() const;
  const ParamSpecs& specs() const { return specs_; }

 private:
  const ParamSpec& spec(const std::string& key) const;
  template <class T>
  const T& get(const std::string& key, ParamType type) const;

  ParamSpecs specs_;
  std::map<std::string, ParamValue> values_;
  mutable std::set<std::string> read_;
};

}  // namespace mneme
