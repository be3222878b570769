#include "core/text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/byte_characters.h"
#include "core/text/steps.h"
#include "core/text/token_pattern.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

PreTokenizer::~PreTokenizer() = default;

namespace {
/// What becomes of the matches of a pattern.
enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Span {
  std::size_t begin, end;
  bool match;
};

Piece part_of(const Piece& piece, std::size_t begin, std::size_t end) {
  const std::size_t front = piece.front - std::min(piece.front, begin);
  return {piece.text.substr(begin, end - begin), front, begin == 0 && piece.continues};
}

void append_part(const Piece& piece, std::size_t begin, std::size_t end, Pieces& out) {
  if (end > begin) out.push_back(part_of(piece, begin, end));
}

/// Joins neighbours as the behaviour says; spans cover the whole text.
std::vector<Span> joined(const std::vector<Span>& spans, Behavior behavior) {
  std::vector<Span> out;
  bool before = false;
  if (behavior == Behavior::kMergedWithNext) {
    for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
      if (span->match && !before && !out.empty()) {
        out.back().begin = span->begin;
      } else {
        out.push_back(*span);
      }
      before = span->match;
    }
    std::reverse(out.begin(), out.end());
    return out;
  }
  for (const Span& span : spans) {
    const bool join = behavior == Behavior::kContiguous ? span.match == before : span.match && !before;
    if (join && !out.empty()) {
      out.back().end = span.end;
    } else {
      out.push_back(span);
    }
    before = span.match;
  }
  return out;
}

/// Splits at the matches of a pattern or, inverted, at what lies between them.
class Split final : public PreTokenizer {
 public:
  Split(TokenPattern pattern, Behavior behavior, bool invert = false)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(Pieces& pieces, TextStore&) const override {
    Pieces out;
    out.reserve(pieces.size() * 2);
    for (const Piece& piece : pieces) split_piece(piece, out);
    pieces = std::move(out);
  }

 private:
  void split_piece(const Piece& piece, Pieces& out) const {
    const bool keeps = behavior_ != Behavior::kRemoved;
    if (behavior_ == Behavior::kIsolated || behavior_ == Behavior::kRemoved) {
      for_each_span(piece.text, [&](const Span& span) {
        if (keeps || !span.match) append_part(piece, span.begin, span.end, out);
      });
      return;
    }
    std::vector<Span> spans;
    for_each_span(piece.text, [&](const Span& span) { spans.push_back(span); });
    for (const Span& span : joined(spans, behavior_)) append_part(piece, span.begin, span.end, out);
  }

  template <class Use>
  void for_each_span(std::string_view text, Use use) const {
    std::size_t done = 0;
    pattern_.for_each(text, [&](std::size_t begin, std::size_t end) {
      if (done != begin) use(Span{done, begin, invert_});
      use(Span{begin, end, !invert_});
      done = end;
    });
    if (done != text.size()) use(Span{done, text.size(), invert_});
  }

  TokenPattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class WhitespaceSplit final : public PreTokenizer {
 public:
  void split(Pieces& pieces, TextStore&) const override {
    Pieces out;
    for (const Piece& piece : pieces) {
      std::size_t begin = 0;
      for (std::size_t i = 0, length = 0; i < piece.text.size(); i += length) {
        if (!is_white_space(first_code_point(piece.text.substr(i), length))) continue;
        append_part(piece, begin, i, out);
        begin = i + length;
      }
      append_part(piece, begin, piece.text.size(), out);
    }
    pieces = std::move(out);
  }
};

/// Blanks become a visible character, one is put in front of a text, and each starts a new word.
class Metaspace final : public PreTokenizer {
 public:
  enum class Prefix { kFirst, kNever, kAlways };
  Metaspace(std::string replacement, Prefix prefix, bool splits)
      : replacement_(std::move(replacement)), prefix_(prefix), splits_(splits) {}

  void split(Pieces& pieces, TextStore& store) const override {
    Pieces out;
    out.reserve(pieces.size());
    for (const Piece& piece : pieces) {
      const Piece whole = replaced(piece, store);
      const std::string_view text = whole.text;
      std::size_t begin = 0;
      for (std::size_t i = splits_ ? text.find(replacement_, 1) : text.npos; i != text.npos;
           i = text.find(replacement_, i + 1)) {
        append_part(whole, begin, i, out);
        begin = i;
      }
      append_part(whole, begin, text.size(), out);
    }
    pieces = std::move(out);
  }

 private:
  Piece replaced(const Piece& piece, TextStore& store) const {
    const bool wanted = prefix_ == Prefix::kAlways || (prefix_ == Prefix::kFirst && piece.front > 0);
    const bool has_one = piece.text[0] == ' ' || piece.text.starts_with(replacement_);
    std::string out;
    out.reserve(piece.text.size() + piece.text.size() / 4 + replacement_.size());
    if (wanted && !has_one && !piece.continues) out += replacement_;
    const std::size_t old_front = std::min(piece.front, piece.text.size());
    std::size_t front = old_front > 0 ? out.size() : 0;
    for (std::size_t i = 0; i < piece.text.size();) {
      const std::size_t blank = std::min(piece.text.find(' ', i), piece.text.size());
      out += piece.text.substr(i, blank - i);
      if (blank < piece.text.size()) out += replacement_;
      i = blank + 1;
    }
    for (const char c : piece.text.substr(0, old_front)) front += c == ' ' ? replacement_.size() : 1;
    return {store.keep(std::move(out)), front, piece.continues};
  }

  std::string replacement_;
  Prefix prefix_;
  bool splits_;
};

/// GPT-2's splitting, and bytes as characters: here, unless nothing follows and the model can take the bytes.
class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool prefix, bool splits, bool last) : prefix_(prefix), last_(last) {
    if (splits)
      split_.emplace(
          TokenPattern::regex("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                              "ByteLevel"),
          Behavior::kIsolated);
  }

  void split(Pieces& pieces, TextStore& store) const override {
    for (Piece& piece : pieces) {
      if (!prefix_ || piece.continues || piece.text[0] == ' ') continue;
      piece.text = store.keep(" " + std::string(piece.text));
      if (piece.front > 0) ++piece.front;
    }
    if (split_) split_->split(pieces, store);
    if (last_) return;
    for (Piece& piece : pieces) {
      piece.front = to_byte_characters(piece.text.substr(0, piece.front)).size();
      piece.text = store.keep(to_byte_characters(piece.text));
    }
  }
  bool leaves_bytes() const override { return last_; }

 private:
  bool prefix_, last_;
  std::optional<Split> split_;
};

class Steps final : public PreTokenizer {
 public:
  explicit Steps(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  void split(Pieces& pieces, TextStore& store) const override {
    for (const auto& step : steps_) step->split(pieces, store);
  }
  bool leaves_bytes() const override { return !steps_.empty() && steps_.back()->leaves_bytes(); }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

template <class Value, std::size_t kCount>
Value choice(JsonFields& fields, const std::string& key, const std::string& text,
             const std::array<std::pair<std::string_view, Value>, kCount>& known) {
  std::string names;
  for (const auto& [name, value] : known) {
    if (name == text) return value;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  }
  fields.fail(key, fmt::format("is '{}'; expected one of {}", text, names));
}

Behavior behavior_of(JsonFields& fields, const std::string& text) {
  static constexpr std::array<std::pair<std::string_view, Behavior>, 5> kKnown{
      {{"Isolated", Behavior::kIsolated},
       {"Removed", Behavior::kRemoved},
       {"MergedWithPrevious", Behavior::kMergedWithPrevious},
       {"MergedWithNext", Behavior::kMergedWithNext},
       {"Contiguous", Behavior::kContiguous}}};
  return choice(fields, "behavior", text, kKnown);
}

std::unique_ptr<PreTokenizer> make_metaspace(JsonFields& fields) {
  static constexpr std::array<std::pair<std::string_view, Metaspace::Prefix>, 3> kKnown{
      {{"first", Metaspace::Prefix::kFirst},
       {"never", Metaspace::Prefix::kNever},
       {"always", Metaspace::Prefix::kAlways}}};
  const std::string replacement = fields.text("replacement");
  if (decode_utf8(replacement).size() != 1)
    fields.fail("replacement", fmt::format("is '{}'; expected one character", replacement));
  auto prefix = choice(fields, "prepend_scheme", fields.text("prepend_scheme", "always"), kKnown);
  if (!fields.boolean("add_prefix_space", true)) {
    if (prefix != Metaspace::Prefix::kNever && fields.find("prepend_scheme") != nullptr)
      fields.fail("add_prefix_space", "is false, which does not go with its prepend_scheme");
    prefix = Metaspace::Prefix::kNever;
  }
  fields.ignore("str_rep");
  return std::make_unique<Metaspace>(replacement, prefix, fields.boolean("split", true));
}

TokenPattern class_pattern(const std::string& ranges) {
  return TokenPattern::regex(fmt::format("[{}]", ranges), "pre_tokenizer");
}

TokenPattern words_or_signs() {
  return TokenPattern::regex(
      fmt::format("(?:(?![{0}])[\\w{1}])+|(?:[{0}]|[^\\w\\s{1}])+", not_in_words(), also_in_words()), "pre_tokenizer");
}

std::unique_ptr<PreTokenizer> make_split(JsonFields& fields) {
  TokenPattern pattern = make_pattern(fields.object("pattern"), fields.where("pattern"));
  const Behavior behavior = behavior_of(fields, fields.text("behavior"));
  return std::make_unique<Split>(std::move(pattern), behavior, fields.boolean("invert"));
}

std::unique_ptr<PreTokenizer> make_simple(const std::string& type, JsonFields& fields, bool last) {
  if (type == "Metaspace") return make_metaspace(fields);
  if (type == "Split") return make_split(fields);
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "ByteLevel") {
    fields.ignore("trim_offsets");
    const bool prefix = fields.boolean("add_prefix_space"), splits = fields.boolean("use_regex", true);
    return std::make_unique<ByteLevel>(prefix, splits, last);
  }
  if (type == "Digits") {
    const bool single = fields.boolean("individual_digits");
    return std::make_unique<Split>(class_pattern(numeric_ranges()),
                                   single ? Behavior::kIsolated : Behavior::kContiguous);
  }
  if (type == "Punctuation")
    return std::make_unique<Split>(class_pattern(punctuation_ranges()),
                                   behavior_of(fields, fields.text("behavior", "Isolated")));
  if (type == "Whitespace") return std::make_unique<Split>(words_or_signs(), Behavior::kRemoved, true);
  fields.fail("type", fmt::format("'{}' is not supported; expected Sequence, ByteLevel, Metaspace, Split, Digits, "
                                  "Punctuation, Whitespace or WhitespaceSplit",
                                  type));
}
}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json* value, const std::string& where, bool may_leave_bytes) {
  if (value == nullptr) return nullptr;
  return read_steps<PreTokenizer, Steps>(*value, where, "pretokenizers", make_simple, may_leave_bytes);
}

}  // namespace mneme::text
