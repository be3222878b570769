#include "core/text/json_fields.h"

#include <algorithm>

#include "core/base/error.h"

namespace mneme::text {

namespace {
constexpr int kDeepest = 64;

/// How deep lists and objects are nested.
int depth_of(std::string_view json) {
  int depth = 0, deepest = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}
}  // namespace

void check_json_depth(std::string_view content, const std::string& where) {
  if (const int depth = depth_of(content); depth > kDeepest)
    throw DataError(fmt::format("{}: is nested {} deep; expected at most {}", where, depth, kDeepest));
}

std::string json_complaint(const Json::exception& error) {
  const std::string_view what = error.what();
  const std::size_t code = what.find("] ");
  return std::string(what.starts_with('[') && code != what.npos ? what.substr(code + 2) : what);
}

Json parse_json_object(std::string_view content, const std::string& where) {
  check_json_depth(content, where);
  try {
    Json json = Json::parse(content);
    if (!json.is_object()) throw DataError(fmt::format("{}: is not a JSON object", where));
    return json;
  } catch (const Json::exception& e) {
    throw DataError(fmt::format("{}: is not JSON (cut off or damaged?): {}", where, json_complaint(e)));
  }
}

JsonFields::JsonFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object.is_object()) throw DataError(fmt::format("{}: found {}; expected an object", where_, brief(object)));
}

const Json* JsonFields::find(const std::string& key) {
  asked_.insert(key);
  const auto entry = object_.find(key);
  return entry == object_.end() || entry->is_null() ? nullptr : &*entry;
}

const Json& JsonFields::at(const std::string& key) {
  const Json* value = find(key);
  if (value == nullptr) fail(key, "is missing");
  return *value;
}

bool JsonFields::boolean(const std::string& key) {
  const Json& value = at(key);
  if (!value.is_boolean()) expected(key, value, "true or false");
  return value.get<bool>();
}

bool JsonFields::boolean(const std::string& key, bool otherwise) {
  return find(key) == nullptr ? otherwise : boolean(key);
}

std::string JsonFields::text(const std::string& key) {
  const Json& value = at(key);
  if (!value.is_string()) expected(key, value, "a text");
  return value.get<std::string>();
}

std::string JsonFields::text(const std::string& key, const std::string& otherwise) {
  return find(key) == nullptr ? otherwise : text(key);
}

std::int64_t JsonFields::integer(const std::string& key, std::int64_t most) {
  const Json& value = at(key);
  const bool whole = value.is_number_integer() && (value.is_number_unsigned() || value.get<std::int64_t>() >= 0);
  if (!whole || value.get<std::uint64_t>() > static_cast<std::uint64_t>(most))
    expected(key, value, fmt::format("a whole number from 0 to {}", most));
  return value.get<std::int64_t>();
}

const Json& JsonFields::array(const std::string& key) {
  const Json& value = at(key);
  if (!value.is_array()) expected(key, value, "a list");
  return value;
}

const Json& JsonFields::object(const std::string& key) {
  const Json& value = at(key);
  if (!value.is_object()) expected(key, value, "an object");
  return value;
}

void JsonFields::finish() const {
  for (const auto& [key, value] : object_.items())
    if (!asked_.contains(key)) fail(key, fmt::format("is not supported: found {}", brief(value)));
}

std::string JsonFields::where(const std::string& key) const {
  return where_.ends_with(':') ? fmt::format("{} {}", where_, key) : fmt::format("{}.{}", where_, key);
}

void JsonFields::fail(const std::string& key, const std::string& what) const {
  throw DataError(fmt::format("{} {}", where(key), what));
}

void JsonFields::expected(const std::string& key, const Json& found, const std::string& what) const {
  fail(key, fmt::format("is {}; expected {}", brief(found), what));
}

std::string brief(const Json& value) {
  constexpr std::size_t kMost = 60;
  std::string text = value.is_structured() && value.size() > 8
                         ? fmt::format("{} of {} entries", value.type_name(), value.size())
                         : value.dump(-1, ' ', true);
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

}  // namespace mneme::text
