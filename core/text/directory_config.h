#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/json_fields.h"

namespace mneme::text {

/// What the JSON files beside a tokenizer say about it: tokenizer_config.json, special_tokens_map.json, config.json.
struct DirectoryConfig {
  std::string tokenizer_class{};  ///< without the ending "Fast"; "" if none is named
  std::string model_type{};       ///< of config.json, "" if none
  struct Special {
    std::string name;  ///< "bos_token", or "" for one without a name
    AddedToken token;
  };
  std::vector<Special> specials{};
  std::vector<AddedToken> added{};           ///< in order of their ids
  std::optional<bool> add_bos{}, add_eos{};  ///< count for a .model alone, as with transformers
  std::optional<bool> add_prefix_space{}, legacy{};
  std::optional<std::int64_t> extra_ids{};
  bool tidies_blanks = false;
  std::optional<std::int32_t> bos_id{}, eos_id{}, pad_id{};  ///< of config.json
  std::string digest{};                                      ///< of the files that can change ids

  const Special* special(const std::string& name) const;
};

/// Reads the files that there are. Throws DataError naming file and field for what is wrong or not supported.
DirectoryConfig read_directory_config(const std::filesystem::path& directory);

}  // namespace mneme::text
