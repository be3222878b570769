#include "core/data/example.h"

#include "core/base/hash.h"

namespace mneme::data {

std::string_view to_string(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kEval:
      return "eval";
    case Split::kTest:
      return "test";
  }
  return "";
}

std::string rows_sha256(std::span<const Example> rows) {
  Sha256 hash;
  const auto add = [&](const std::string& field) {
    hash.update(std::to_string(field.size()) + ":");
    hash.update(field);
  };
  for (const Example& row : rows) {
    for (const std::string* field : {&row.row_id, &row.prompt, &row.answer, &row.source, &row.group}) add(*field);
    hash.update(std::to_string(row.references.size()) + "[");
    for (const std::string& reference : row.references) add(reference);
  }
  return hash.hex();
}

}  // namespace mneme::data
