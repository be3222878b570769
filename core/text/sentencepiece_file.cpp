#include "core/text/sentencepiece_file.h"

#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/subword_model.h"

namespace mneme::text {

namespace {
/// Walks the fields of one message of a protocol buffer.
class Message {
 public:
  /// \param start where the bytes lie in the file, for messages.
  Message(std::string_view bytes, std::size_t start, const std::string& where)
      : bytes_(bytes), start_(start), where_(where) {}

  /// Steps to the next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    number_ = key >> 3;
    switch (key & 7) {
      case 0:
        value_ = varint();
        text_ = {};
        break;
      case 1:
        text_ = take(8);
        break;
      case 2:
        text_ = take(varint());
        break;
      case 5:
        text_ = take(4);
        break;
      default:
        damaged(fmt::format("a field of wire type {}", key & 7));
    }
    type_ = key & 7;
    return true;
  }

  std::uint64_t number() const { return number_; }
  std::uint64_t integer() const {
    expect(0);
    return value_;
  }
  float real() const {
    expect(5);
    static_assert(std::endian::native == std::endian::little, "the format is little-endian");
    float value = 0;
    std::memcpy(&value, text_.data(), sizeof value);
    return value;
  }
  std::string_view bytes() const {
    expect(2);
    return text_;
  }
  std::string text() const {
    if (find_invalid_utf8(bytes())) damaged("a text that is no UTF-8");
    return std::string(text_);
  }
  Message message() const { return {bytes(), start_ + static_cast<std::size_t>(text_.data() - bytes_.data()), where_}; }

  [[noreturn]] void damaged(const std::string& what) const {
    throw DataError(fmt::format("{}: {} at byte {}: this is no SentencePiece model, or it is cut off or damaged",
                                where_, what, start_ + at_));
  }

 private:
  void expect(std::uint64_t type) const {
    if (type_ != type) damaged(fmt::format("field {} has wire type {} instead of {}", number_, type_, type));
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) damaged("a number without its end");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    damaged("a number of more than 64 bits");
  }

  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_)
      damaged(fmt::format("a field of {} bytes, with {} left,", size, bytes_.size() - at_));
    const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(size));
    at_ += taken.size();
    return taken;
  }

  std::string_view bytes_, text_;
  std::size_t start_, at_ = 0;
  std::uint64_t number_ = 0, type_ = 0, value_ = 0;
  const std::string& where_;
};

SentencePieceFile::PieceType piece_type(const Message& message) {
  const std::uint64_t value = message.integer();
  if (value < 1 || value > static_cast<std::uint64_t>(SentencePieceFile::PieceType::kByte))
    message.damaged(fmt::format("a piece of the unknown type {}", value));
  return static_cast<SentencePieceFile::PieceType>(value);
}

SentencePieceFile::Piece read_piece(Message message) {
  constexpr std::size_t kLongestPiece = 1024;  // real ones have some dozens
  SentencePieceFile::Piece piece;
  while (message.next()) {
    if (message.number() == 1) piece.text = message.text();
    if (piece.text.size() > kLongestPiece) message.damaged(fmt::format("a piece of {} bytes", piece.text.size()));
    if (message.number() == 2) piece.score = message.real();
    if (message.number() == 3) piece.type = piece_type(message);
  }
  return piece;
}
}  // namespace

SentencePieceFile read_sentencepiece(std::string_view content, const std::string& where) {
  constexpr std::uint64_t kPieces = 1, kTraining = 2, kNormalizer = 3, kCharacterMap = 2;
  SentencePieceFile file;
  bool trained = false, normalized = false;
  Message message(content, 0, where);
  while (message.next()) {
    if (message.number() == kPieces) file.pieces.push_back(read_piece(message.message()));
    if (message.number() == kTraining) trained = true;
    if (message.number() == kNormalizer) {
      normalized = true;
      Message normalizer = message.message();
      while (normalizer.next())
        if (normalizer.number() == kCharacterMap) file.character_map = normalizer.bytes();
    }
    if (file.pieces.size() > static_cast<std::size_t>(kMostTokens)) message.damaged("more pieces than can be");
  }
  if (file.pieces.empty()) message.damaged("no pieces");
  // They come behind the pieces: a file that is cut between two pieces lacks them.
  if (!trained || !normalized) message.damaged("no training or normalisation settings");
  return file;
}

}  // namespace mneme::text
