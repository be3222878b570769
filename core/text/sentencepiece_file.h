#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::text {

/// What a SentencePiece .model file (a protocol buffer, ModelProto) says.
struct SentencePieceFile {
  enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };
  enum class Algorithm { kUnigram = 1, kBpe = 2, kWord = 3, kCharacter = 4 };

  std::vector<Piece> pieces;  ///< the index is the id
  Algorithm algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  std::int32_t unknown_id = 0;
  std::string character_map;  ///< the normaliser's, compiled; "" for none
};

/// Reads a .model file's content. Throws DataError naming `where` and the byte for what is cut off or damaged.
SentencePieceFile read_sentencepiece(std::string_view content, const std::string& where);

}  // namespace mneme::text
