#include "core/data/file_source.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/suggest.h"
#include "core/base/unicode.h"
#include "core/data/stream.h"
#include "core/text/json_fields.h"

namespace mneme::data {
namespace fs = std::filesystem;

namespace {
using Json = nlohmann::json;

struct Position {
  std::size_t line, column;
};

Position position_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n');
  return {static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1,
          offset - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1};
}

Json parse_array(const fs::path& path) {
  const std::string content = read_file(path);
  if (const auto at = find_invalid_utf8(content)) {
    const Position where = position_of(content, *at);
    throw DataError(fmt::format("{}:{}:{}: is not valid UTF-8; convert the file to UTF-8", path.string(), where.line,
                                where.column));
  }
  text::check_json_depth(content, path.string());
  Json json;
  try {
    json = Json::parse(content);
  } catch (const Json::parse_error& e) {
    const Position where = position_of(content, e.byte > 0 ? e.byte - 1 : 0);
    throw DataError(fmt::format("{}:{}:{}: is not JSON here; expected an array of rows, complete to its last bracket",
                                path.string(), where.line, where.column));
  } catch (const Json::exception& e) {
    throw DataError(fmt::format("{}: is not JSON: {}", path.string(), text::json_complaint(e)));
  }
  if (!json.is_array())
    throw DataError(fmt::format("{}: holds {}; expected a JSON array", path.string(), json.type_name()));
  return json;
}

std::string take_text(const Json& row, const char* key, const std::string& where) {
  const auto entry = row.find(key);
  if (entry == row.end())
    throw DataError(fmt::format("{}: has no \"{}\"; expected {{\"prompt\": string, \"answer\": string}}", where, key));
  if (!entry->is_string())
    throw DataError(
        fmt::format("{}: \"{}\" is {} {}; expected a string", where, key, entry->type_name(), text::brief(*entry)));
  return entry->get<std::string>();
}

Example parse_row(const Json& row, const std::string& where) {
  if (!row.is_object())
    throw DataError(
        fmt::format("{}: is {}; expected {{\"prompt\": string, \"answer\": string}}", where, row.type_name()));
  Example example;
  example.prompt = take_text(row, "prompt", where);
  example.answer = take_text(row, "answer", where);
  for (const auto& [key, value] : row.items()) {
    if (key != "prompt" && key != "answer")
      throw DataError(fmt::format("{}: has an unknown key \"{}\"{}", where, key, hint(key, {"prompt", "answer"})));
  }
  return example;
}

/// The side file's array if the file is there. Throws DataError if it is not as long as the rows.
std::optional<Json> side_file(const fs::path& path, std::size_t rows, const fs::path& rows_path) {
  if (!fs::exists(path)) return std::nullopt;
  Json json = parse_array(path);
  if (json.size() != rows)
    throw DataError(fmt::format("{}: has {} entries, but {} has {} rows; the two must be parallel row by row",
                                path.string(), json.size(), rows_path.string(), rows));
  return json;
}

void add_references(const fs::path& path, const Json& references, std::vector<Example>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool good =
        references[i].is_array() && !references[i].empty() &&
        std::all_of(references[i].begin(), references[i].end(), [](const Json& r) { return r.is_string(); });
    if (!good)
      throw DataError(fmt::format("{}: row {}: is {}; expected an array of at least one string", path.string(), i,
                                  text::brief(references[i])));
    rows[i].references = references[i].get<std::vector<std::string>>();
  }
}

void add_ids(const fs::path& path, const Json& ids, std::vector<Example>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!ids[i].is_string() || ids[i].get_ref<const std::string&>().empty())
      throw DataError(
          fmt::format("{}: row {}: is {}; expected a string that is not empty", path.string(), i, text::brief(ids[i])));
    rows[i].row_id = ids[i].get<std::string>();
    if (const std::size_t bar = rows[i].row_id.rfind('|'); bar != std::string::npos)
      rows[i].group = rows[i].row_id.substr(0, bar);
  }
}
}  // namespace

std::vector<Example> read_rows(const fs::path& file) {
  const Json json = parse_array(file);
  std::vector<Example> rows;
  rows.reserve(json.size());
  for (std::size_t i = 0; i < json.size(); ++i)
    rows.push_back(parse_row(json[i], fmt::format("{}: row {}", file.string(), i)));
  return rows;
}

fs::path FileSource::path(Split split) const { return options_.directory / fmt::format("{}.json", to_string(split)); }

std::vector<Example> FileSource::load(Split split) const {
  const fs::path file = path(split);
  std::vector<Example> rows = read_rows(file);
  if (rows.empty())
    throw DataError(fmt::format("{}: has no rows; expected at least one {{\"prompt\", \"answer\"}}", file.string()));
  const fs::path references = options_.directory / fmt::format("{}_refs.json", to_string(split));
  if (const auto side = side_file(references, rows.size(), file)) add_references(references, *side, rows);
  const fs::path ids = options_.directory / fmt::format("{}_ids.json", to_string(split));
  if (const auto side = side_file(ids, rows.size(), file)) add_ids(ids, *side, rows);
  check_examples(spec_, split, file.string(), rows);
  return take_subset(std::move(rows), options_.limits[static_cast<std::size_t>(split)], options_.seed,
                     fmt::format("{}/{}", spec_.name, to_string(split)));
}

std::string FileSource::sha256(Split split) const { return sha256_file(path(split).string()); }

}  // namespace mneme::data
