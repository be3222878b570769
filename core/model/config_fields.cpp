#include "core/model/config_fields.h"

#include "core/base/error.h"
#include "core/text/json_fields.h"

namespace mneme::model {

bool ConfigFields::has(const std::string& key) const {
  read_.insert(key);
  return object_.contains(key) && !object_.at(key).is_null();
}

void ConfigFields::refuse(const std::string& key, const std::string& expected) const {
  if (!contains(key)) throw Error(fmt::format("{}: field '{}' is missing; {}", where_, key, expected));
  throw Error(fmt::format("{}: field '{}' is {}; {}", where_, key, text::brief(object_.at(key)), expected));
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

double ConfigFields::number(const std::string& key) const {
  if (!has(key)) throw Error(fmt::format("{}: field '{}' is missing; expected a number", where_, key));
  if (!at(key).is_number()) refuse(key, "expected a number");
  return at(key).get<double>();
}

double ConfigFields::number(const std::string& key, double otherwise) const {
  return has(key) ? number(key) : otherwise;
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

std::vector<std::int64_t> ConfigFields::tokens(const std::string& key) const {
  if (!has(key)) return {};
  const nlohmann::json list = at(key).is_array() ? at(key) : nlohmann::json::array({at(key)});
  std::vector<std::int64_t> ids;
  for (const nlohmann::json& id : list) {
    if (!id.is_number_integer()) refuse(key, "expected a token id or a list of them");
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

std::optional<std::int64_t> ConfigFields::token(const std::string& key) const {
  const std::vector<std::int64_t> ids = tokens(key);
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

std::vector<std::string> ConfigFields::unread() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : object_.items())
    if (!read_.contains(key)) names.push_back(key);
  return names;
}

}  // namespace mneme::model
