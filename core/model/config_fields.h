#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mneme::model {

/// Reads fields of one JSON object; every error names file and field. Remembers which fields were asked for.
class ConfigFields {
 public:
  ConfigFields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(const std::string& key) const;  ///< and is not null
  bool contains(const std::string& key) const { return object_.contains(key); }
  const nlohmann::json& at(const std::string& key) const { return object_.at(key); }
  const std::string& where() const { return where_; }

  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const;

  std::int64_t integer(const std::string& key) const;
  std::int64_t integer(const std::string& key, std::int64_t otherwise) const;
  double number(const std::string& key) const;
  double number(const std::string& key, double otherwise) const;
  bool boolean(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;
  /// A token id or a list of them; none if the field is null or missing.
  std::vector<std::int64_t> tokens(const std::string& key) const;
  /// The first of them.
  std::optional<std::int64_t> token(const std::string& key) const;

  /// Names that nobody asked for.
  std::vector<std::string> unread() const;

 private:
  const nlohmann::json& object_;
  std::string where_;
  mutable std::set<std::string> read_;
};

}  // namespace mneme::model
