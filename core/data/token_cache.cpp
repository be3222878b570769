#include <array>
#include <cstring>
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/data/tokenize.h"

namespace mneme::data {
namespace fs = std::filesystem;

namespace {
constexpr std::string_view kMagic = "MNEMETOK1\n";
constexpr std::size_t kKeyDigits = 64;

/// What the file tells about one row, behind the header.
struct RowEntry {
  std::int64_t begin;  ///< index of the prompt's first token; the answer follows the prompt
  std::int32_t prompt, answer, cut, answer_cut;
};
static_assert(sizeof(RowEntry) == 24);

struct Header {
  std::array<char, 16> magic;
  std::array<char, kKeyDigits> key;
  std::int64_t rows, tokens;
  std::uint64_t checksum;  ///< FNV-1a of everything behind the header
};
static_assert(sizeof(Header) == 104);

std::string cache_key(const text::Tokenizer& tokenizer, const TaskSpec& spec, std::span<const Example> rows,
                      const LengthLimits& limits) {
  return sha256_hex(fmt::format("{}{}|{}|{}:{}|{}:{}|{}:{}|{}|{}|{}|{}|{}|{}", kMagic, rows_sha256(rows),
                                tokenizer.identity(), spec.instruction.size(), spec.instruction, spec.cue.size(),
                                spec.cue, spec.keep_from.size(), spec.keep_from, spec.cut_front, limits.max_total,
                                limits.max_prompt, limits.max_answer, limits.special, limits.separate_answer));
}

template <class T>
void append(std::string& out, const T* values, std::size_t count) {
  out.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

/// The cache file's bytes.
std::string pack(const std::string& key, const std::vector<TokenizedExample>& examples) {
  std::vector<RowEntry> entries;
  std::vector<std::int32_t> tokens;
  for (const TokenizedExample& example : examples) {
    entries.push_back({static_cast<std::int64_t>(tokens.size()), static_cast<std::int32_t>(example.prompt.size()),
                       static_cast<std::int32_t>(example.answer.size()), static_cast<std::int32_t>(example.cut_tokens),
                       static_cast<std::int32_t>(example.answer_cut_tokens)});
    tokens.insert(tokens.end(), example.prompt.begin(), example.prompt.end());
    tokens.insert(tokens.end(), example.answer.begin(), example.answer.end());
  }
  std::string body;
  append(body, entries.data(), entries.size());
  append(body, tokens.data(), tokens.size());
  Header header{};
  std::memcpy(header.magic.data(), kMagic.data(), kMagic.size());
  std::memcpy(header.key.data(), key.data(), kKeyDigits);
  header.rows = static_cast<std::int64_t>(entries.size());
  header.tokens = static_cast<std::int64_t>(tokens.size());
  header.checksum = fnv1a(body);
  std::string out;
  append(out, &header, 1);
  return out += body;
}
}  // namespace

/// The packed bytes, mapped or owned, with typed views into them.
class TokenizedSplit::Storage {
 public:
  explicit Storage(std::string bytes) : owned_(std::move(bytes)) { point_into(std::as_bytes(std::span(owned_))); }
  explicit Storage(std::unique_ptr<MappedFile> file) : file_(std::move(file)) { point_into(file_->bytes()); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// Whether the bytes are complete and belong to the key.
  static bool valid(std::span<const std::byte> bytes, const std::string& key) {
    if (bytes.size() < sizeof(Header)) return false;
    Header header;
    std::memcpy(&header, bytes.data(), sizeof(Header));
    if (std::string_view(header.magic.data(), kMagic.size()) != kMagic) return false;
    if (std::string_view(header.key.data(), kKeyDigits) != key || header.rows < 0 || header.tokens < 0) return false;
    const std::size_t most = bytes.size();
    if (static_cast<std::size_t>(header.rows) > most || static_cast<std::size_t>(header.tokens) > most) return false;
    const std::span<const std::byte> body = bytes.subspan(sizeof(Header));
    const std::size_t expected = static_cast<std::size_t>(header.rows) * sizeof(RowEntry) +
                                 static_cast<std::size_t>(header.tokens) * sizeof(std::int32_t);
    return body.size() == expected &&
           fnv1a({reinterpret_cast<const char*>(body.data()), body.size()}) == header.checksum;
  }

  std::span<const RowEntry> entries() const { return entries_; }
  std::span<const std::int32_t> tokens() const { return tokens_; }

 private:
  void point_into(std::span<const std::byte> bytes) {
    Header header;
    std::memcpy(&header, bytes.data(), sizeof(Header));
    const std::byte* body = bytes.data() + sizeof(Header);
    entries_ = {reinterpret_cast<const RowEntry*>(body), static_cast<std::size_t>(header.rows)};
    tokens_ = {reinterpret_cast<const std::int32_t*>(body + entries_.size_bytes()),
               static_cast<std::size_t>(header.tokens)};
  }

  std::string owned_;
  std::unique_ptr<MappedFile> file_;
  std::span<const RowEntry> entries_;
  std::span<const std::int32_t> tokens_;
};

TokenizedSplit::TokenizedSplit(std::shared_ptr<const Storage> storage) : storage_(std::move(storage)) {}

std::size_t TokenizedSplit::size() const { return storage_->entries().size(); }

TokenizedSplit::View TokenizedSplit::operator[](std::size_t row) const {
  MNEME_CHECK(row < size(), "row {} of a tokenised split of {}", row, size());
  const RowEntry& entry = storage_->entries()[row];
  const auto tokens = storage_->tokens().subspan(static_cast<std::size_t>(entry.begin));
  const auto prompt = static_cast<std::size_t>(entry.prompt), answer = static_cast<std::size_t>(entry.answer);
  return {tokens.first(prompt), tokens.subspan(prompt, answer), entry.cut, entry.answer_cut};
}

TokenizedSplit::Summary TokenizedSplit::summary() const {
  Summary sum;
  for (const RowEntry& entry : storage_->entries()) {
    sum.cut_rows += entry.cut > 0;
    sum.cut_tokens += entry.cut;
    sum.answer_cut_rows += entry.answer_cut > 0;
    sum.answer_cut_tokens += entry.answer_cut;
    sum.longest = std::max<std::int64_t>(sum.longest, entry.prompt + entry.answer);
  }
  sum.tokens = static_cast<std::int64_t>(storage_->tokens().size());
  return sum;
}

namespace {
using StoragePointer = std::shared_ptr<const TokenizedSplit::Storage>;

/// The cached result, or nothing if there is none that is whole.
StoragePointer open_cached(const fs::path& file, const std::string& key) {
  if (!fs::exists(file)) return nullptr;
  auto mapped = std::make_unique<MappedFile>(file);
  if (!TokenizedSplit::Storage::valid(mapped->bytes(), key)) {
    spdlog::warn("{}: is not a whole token cache of this data; making it anew", file.string());
    return nullptr;
  }
  return std::make_shared<TokenizedSplit::Storage>(std::move(mapped));
}

/// Writes the bytes to the cache; a cache that cannot be written costs time later, nothing else.
void write_cached(const fs::path& file, const std::string& bytes) {
  try {
    fs::create_directories(file.parent_path());
    write_file_atomically(file, bytes);
  } catch (const std::exception& e) {
    spdlog::warn("the token cache is not written: {}", e.what());
  }
}
}  // namespace

TokenizedSplit tokenize_split(const text::Tokenizer& tokenizer, const Task& task, Split split,
                              const LengthLimits& limits, const fs::path& cache) {
  const std::span<const Example> rows = task.split(split);
  const std::string key = cache_key(tokenizer, task.spec(), rows, limits);
  const fs::path file = cache.empty() ? fs::path() : cache / "tokens" / key.substr(0, 2) / (key + ".tok");
  StoragePointer storage = file.empty() ? nullptr : open_cached(file, key);
  if (!storage) {
    std::vector<TokenizedExample> examples;
    examples.reserve(rows.size());
    for (const Example& row : rows) examples.push_back(tokenize(tokenizer, task.spec(), row, limits));
    std::string bytes = pack(key, examples);
    if (!file.empty()) write_cached(file, bytes);
    storage = std::make_shared<TokenizedSplit::Storage>(std::move(bytes));
  }
  TokenizedSplit result(std::move(storage));
  const TokenizedSplit::Summary cut = result.summary();
  if (cut.cut_rows > 0)
    spdlog::info("task '{}', {}: {} of {} prompts lost {} tokens of their body to the length limit", task.name(),
                 to_string(split), cut.cut_rows, rows.size(), cut.cut_tokens);
  if (cut.answer_cut_rows > 0)
    spdlog::info("task '{}', {}: {} of {} answers lost {} tokens at their end to the length limit", task.name(),
                 to_string(split), cut.answer_cut_rows, rows.size(), cut.answer_cut_tokens);
  return result;
}

}  // namespace mneme::data
