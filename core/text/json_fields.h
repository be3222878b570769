#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

namespace mneme::text {

using Json = nlohmann::json;

/// Parses a JSON file's content. Throws DataError naming `where` for what is no JSON, no object or nested too deep.
Json parse_json_object(std::string_view content, const std::string& where);

/// Throws DataError naming `where` for a text that is nested so deep that whoever walks its values would need too much
/// stack.
void check_json_depth(std::string_view content, const std::string& where);

/// What the parser says is wrong, without its own codes.
std::string json_complaint(const Json::exception& error);

/// The fields of one JSON object of a tokenizer file. Every field must be asked for: finish() throws for one that
/// nothing read, since a field that is passed over could change the ids. All errors are DataErrors that name the field.
class JsonFields {
 public:
  /// \param where the file and the path of the object in it. Keeps a reference to the object.
  JsonFields(const Json& object, std::string where);

  /// The field; null pointer if it is missing or null.
  const Json* find(const std::string& key);
  /// The field; throws if it is missing or null.
  const Json& at(const std::string& key);

  bool boolean(const std::string& key);
  bool boolean(const std::string& key, bool otherwise);
  std::string text(const std::string& key);
  std::string text(const std::string& key, const std::string& otherwise);
  /// From 0 to `most`.
  std::int64_t integer(const std::string& key, std::int64_t most);
  const Json& array(const std::string& key);
  const Json& object(const std::string& key);
  /// A field that cannot change the ids.
  void ignore(const std::string& key) { asked_.insert(key); }

  void finish() const;
  /// "FILE: path.key", for messages.
  std::string where(const std::string& key) const;
  const std::string& where() const { return where_; }
  /// Throws a DataError about the field.
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;

 private:
  [[noreturn]] void expected(const std::string& key, const Json& found, const std::string& what) const;

  const Json& object_;
  std::string where_;
  std::set<std::string> asked_;
};

/// A JSON value for an error message, cut where it is long.
std::string brief(const Json& value);

}  // namespace mneme::text
