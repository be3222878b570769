#include "core/text/normalizer.h"

#include <openssl/evp.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/text/byte_characters.h"
#include "core/text/steps.h"
#include "core/text/token_pattern.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

Normalizer::~Normalizer() = default;

namespace {
class Steps final : public Normalizer {
 public:
  explicit Steps(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(Stretch& stretch) const override {
    // No normaliser of a real model makes a text so much longer; steps that double it would soon fill the memory.
    const std::size_t most = stretch.text.size() * 256 + (1 << 16);
    for (const auto& step : steps_) {
      step->apply(stretch);
      if (stretch.text.size() > most)
        throw DataError(fmt::format("the tokenizer's normalizer makes more than {} bytes of a text", most));
    }
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Form final : public Normalizer {
 public:
  explicit Form(NormalForm form) : form_(form) {}
  void apply(Stretch& stretch) const override { form_.apply(stretch.text, stretch.front); }

 private:
  UnicodeNormalizer form_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  void apply(Stretch& stretch) const override {
    if (stretch.text.empty() || stretch.continues) return;
    stretch.text.insert(0, text_);
    if (stretch.front > 0) stretch.front += text_.size();
  }

 private:
  std::string text_;
};

class Replace final : public Normalizer {
 public:
  Replace(TokenPattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(Stretch& stretch) const override {
    const std::string_view text = stretch.text;
    std::string out;
    std::size_t done = 0, front = 0;
    const auto keep = [&](std::size_t end) {
      out += text.substr(done, end - done);
      front += std::min(end, std::max(done, stretch.front)) - done;
    };
    pattern_.for_each(text, [&](std::size_t begin, std::size_t end) {
      keep(begin);
      out += content_;
      if (stretch.front > 0 && end <= stretch.front)
        front += content_.size();  // it takes the place of the last character taken out
      done = end;
    });
    keep(text.size());
    stretch.text = std::move(out);
    stretch.front = front;
  }

 private:
  TokenPattern pattern_;
  std::string content_;
};

class Lowercase final : public Normalizer {
 public:
  void apply(Stretch& stretch) const override {
    stretch.front = lower_case(std::string_view(stretch.text).substr(0, stretch.front)).size();
    stretch.text = lower_case(stretch.text);
  }
};

class ByteCharacters final : public Normalizer {
 public:
  void apply(Stretch& stretch) const override {
    stretch.front = to_byte_characters(std::string_view(stretch.text).substr(0, stretch.front)).size();
    stretch.text = to_byte_characters(stretch.text);
  }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(Stretch& stretch) const override {
    std::string_view text = stretch.text;
    std::size_t length = 0, kept = 0;
    while (left_ && !text.empty() && is_white_space(first_code_point(text, length))) text.remove_prefix(length);
    stretch.front -= std::min(stretch.front, stretch.text.size() - text.size());
    if (right_) {
      for (std::size_t i = 0; i < text.size(); i += length)
        if (!is_white_space(first_code_point(text.substr(i), length))) kept = i + length;
      text = text.substr(0, kept);
    }
    stretch.text = std::string(text);
  }

 private:
  bool left_, right_;
};

/// Drops some characters and turns others into blanks.
class Filter : public Normalizer {
 public:
  void apply(Stretch& stretch) const override {
    std::string out;
    std::size_t front = 0;
    out.reserve(stretch.text.size());
    const std::string_view text = stretch.text;
    for (std::size_t i = 0, length = 0; i < text.size(); i += length) {
      const char32_t c = first_code_point(text.substr(i), length);
      if (!drops(c)) out += blanks(c) ? " " : text.substr(i, length);
      if (i < stretch.front) front = out.size();
    }
    stretch.text = std::move(out);
    stretch.front = front;
  }

 private:
  virtual bool drops(char32_t c) const = 0;
  virtual bool blanks(char32_t) const { return false; }
};

class StripAccents final : public Filter {
  bool drops(char32_t c) const override { return is_mark(c); }
};

/// The clean-up of the toolkit NMT: control characters out, kinds of white space to blanks.
class Nmt final : public Filter {
  bool drops(char32_t c) const override {
    return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  }
  bool blanks(char32_t c) const override {
    return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
           c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  }
};

std::string from_base64(const std::string& text, const JsonFields& fields, const std::string& key) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0 || text.size() % 4 != 0) fields.fail(key, "is not base64");
  const std::size_t padding = text.size() - std::min(text.size(), text.find_last_not_of('=') + 1);
  bytes.resize(static_cast<std::size_t>(length) - std::min<std::size_t>(padding, 2));
  return bytes;
}

std::unique_ptr<Normalizer> character_map_of(JsonFields& fields) {
  const std::string encoded = fields.text("precompiled_charsmap");
  const std::string bytes = from_base64(encoded, fields, "precompiled_charsmap");
  return make_character_map(bytes, fields.where("precompiled_charsmap"));
}

std::unique_ptr<Normalizer> make_simple(const std::string& type, JsonFields& fields, bool /*last*/) {
  if (type == "NFC") return std::make_unique<Form>(NormalForm::kNfc);
  if (type == "NFD") return std::make_unique<Form>(NormalForm::kNfd);
  if (type == "NFKC") return std::make_unique<Form>(NormalForm::kNfkc);
  if (type == "NFKD") return std::make_unique<Form>(NormalForm::kNfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "ByteLevel") return std::make_unique<ByteCharacters>();
  if (type == "Prepend") return std::make_unique<Prepend>(fields.text("prepend"));
  if (type == "Precompiled") return character_map_of(fields);
  if (type == "Strip") {
    const bool left = fields.boolean("strip_left"), right = fields.boolean("strip_right");
    return std::make_unique<Strip>(left, right);
  }
  if (type == "Replace") {
    TokenPattern pattern = make_pattern(fields.object("pattern"), fields.where("pattern"));
    return std::make_unique<Replace>(std::move(pattern), fields.text("content"));
  }
  fields.fail("type", fmt::format("'{}' is not supported; expected Sequence, NFC, NFD, NFKC, NFKD, Lowercase, "
                                  "StripAccents, Strip, Nmt, ByteLevel, Prepend, Replace or Precompiled",
                                  type));
}
}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json* value, const std::string& where) {
  return value == nullptr ? nullptr : read_steps<Normalizer, Steps>(*value, where, "normalizers", make_simple);
}

}  // namespace mneme::text
