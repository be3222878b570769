#pragma once

#include "core/text/directory_config.h"
#include "core/text/json_fields.h"

namespace mneme::text {

// transformers' own tokenizer classes: the parts that they put around a vocabulary, as a tokenizer.json writes them.

/// LlamaTokenizer's; config's legacy and add_prefix_space count.
Json llama_pre_tokenizer(const DirectoryConfig& config);
Json llama_decoder(const DirectoryConfig& config);
/// T5Tokenizer's.
Json t5_pre_tokenizer();
Json t5_decoder();

constexpr std::int64_t kT5Sentinels = 100;  ///< that T5Tokenizer has unless extra_ids says another number

/// Adds the special tokens that the class has unless the directory names others.
void add_class_specials(DirectoryConfig& config, const std::string& class_name);

/// Where the directory names LlamaTokenizer, T5Tokenizer, Qwen2Tokenizer or GPT2Tokenizer, transformers takes from a
/// tokenizer.json no more than the vocabulary, the merges, the added tokens and the post-processor. Puts the other
/// parts of that class into the file and returns its name; leaves the file as it is and returns "" where it counts
/// itself.
std::string put_class_parts(Json& file, const DirectoryConfig& config);

}  // namespace mneme::text
