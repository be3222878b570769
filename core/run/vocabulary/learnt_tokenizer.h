#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace mneme::run {

/// Learns a vocabulary of SentencePiece from documents and writes the files by which load_tokenizer() finds it:
/// pair encoding with bytes for rare characters, as a LLaMA has; for an encoder-decoder unigram pieces, as a T5 has.
/// Throws Error with SentencePiece's reason, for example that there is too little text for so many pieces.
void write_learnt_tokenizer(const std::filesystem::path& directory, const std::vector<std::string>& texts,
                            std::int64_t pieces, bool encoder_decoder);

}  // namespace mneme::run
