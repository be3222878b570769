#include "core/model/config_fields.h"

#include "core/base/error.h"

namespace mneme::model {

bool ConfigFields::has(const std::string& key) const {
  read_.insert(key);
  return object_.contains(key) && !object_.at(key).is_null();
}

void ConfigFields::refuse(const std::string& key, const std::string& expected) const {
  throw Error(fmt::format("{}: field '{}' is {}; {}", where_, key, object_.at(key).dump(), expected));
}

std::int64_t ConfigFields::integer(const std::string& key) const {
  if (!has(key)) throw Error(fmt::format("{}: field '{}' is missing; expected an integer", where_, key));
  if (!at(key).is_number_integer()) refuse(key, "expected an integer");
  if (at(key).is_number_unsigned() && at(key).get<std::uint64_t>() > (1ULL << 62)) refuse(key, "this is too large");
  return at(key).get<std::int64_t>();
}

std::int64_t ConfigFields::integer(const std::string& key, std::int64_t otherwise) const {
  return has(key) ? integer(key) : otherwise;
}

double ConfigFields::number(const std::string& key, double otherwise) const {
  if (!has(key)) return otherwise;
  if (!at(key).is_number()) refuse(key, "expected a number");
  return at(key).get<double>();
}

bool ConfigFields::boolean(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  if (!at(key).is_boolean()) refuse(key, "expected true or false");
  return at(key).get<bool>();
}

std::string ConfigFields::text(const std::string& key, const std::string& otherwise) const {
  if (!has(key)) return otherwise;
  if (!at(key).is_string()) refuse(key, "expected a text");
  return at(key).get<std::string>();
}

std::optional<std::int64_t> ConfigFields::token(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  const nlohmann::json& value = at(key);
  const nlohmann::json& id = value.is_array() && !value.empty() ? value.front() : value;
  if (!id.is_number_integer()) refuse(key, "expected a token id or a list of them");
  return id.get<std::int64_t>();
}

std::vector<std::string> ConfigFields::unread() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : object_.items())
    if (!read_.contains(key)) names.push_back(key);
  return names;
}

}  // namespace mneme::model
