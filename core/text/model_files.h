#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/text/directory_config.h"
#include "core/text/tokenizer.h"

namespace mneme::text {

/// The tokenizer of a tokenizer.json. \param where names the file in messages. Throws DataError naming the field that
/// is missing, wrong or not supported.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view content, const DirectoryConfig& config,
                                               const std::string& where);

/// How a SentencePiece model is read.
enum class SentencePieceStyle { kT5, kLlama };

/// The tokenizer of a SentencePiece .model file, with the ids that Hugging Face's T5Tokenizer or LlamaTokenizer gives.
/// \param where names the file in messages. Throws DataError.
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(std::string_view content, SentencePieceStyle style,
                                                        const DirectoryConfig& config, const std::string& where);

}  // namespace mneme::text
