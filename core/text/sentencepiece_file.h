#pragma once

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

  std::vector<Piece> pieces;  ///< the index is the id
  std::string character_map;  ///< the normaliser's, compiled; "" for none
};

/// Reads a .model file's content. Throws DataError naming `where` and the byte for what is cut off or damaged.
SentencePieceFile read_sentencepiece(std::string_view content, const std::string& where);

}  // namespace mneme::text
