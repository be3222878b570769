#include "core/text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

namespace {
constexpr std::int32_t kUnreached = -2, kUnknown = -1;
}

/// Places the states of each node's children: the first base where all of their places are free.
class PrefixTrie::Builder {
 public:
  using Keys = std::vector<std::pair<std::string, std::int32_t>>;
  Builder(const Keys& keys, std::vector<State>& states) : keys_(keys), states_(states) {
    states_.resize(256);
    states_[0].parent = 0;
    if (!keys.empty()) waiting_.push_back({0, 0, keys.size(), 0});
    while (!waiting_.empty()) {
      const Node node = waiting_.back();
      waiting_.pop_back();
      place(node);
    }
    states_[0].parent = kFree;  // the root is nobody's child
  }

 private:
  /// The keys from first to last share `depth` bytes, which lead to the state.
  struct Node {
    std::uint32_t state;
    std::size_t first, last, depth;
  };

  void place(const Node& node) {
    std::size_t first = node.first;
    if (keys_[first].first.size() == node.depth) states_[node.state].id = keys_[first++].second;
    std::vector<Node> children;
    std::vector<unsigned char> bytes;
    while (first < node.last) {
      const auto byte = static_cast<unsigned char>(keys_[first].first[node.depth]);
      std::size_t last = first;
      while (last < node.last && static_cast<unsigned char>(keys_[last].first[node.depth]) == byte) ++last;
      children.push_back({0, first, last, node.depth + 1});
      bytes.push_back(byte);
      first = last;
    }
    if (children.empty()) return;
    const std::uint32_t base = free_base(bytes);
    states_[node.state].base = base;
    for (std::size_t i = 0; i < children.size(); ++i) {
      children[i].state = base ^ bytes[i];
      states_[children[i].state].parent = node.state;
      waiting_.push_back(children[i]);
    }
  }

  std::uint32_t free_base(const std::vector<unsigned char>& bytes) {
    while (first_free_ < states_.size() && states_[first_free_].parent != kFree) ++first_free_;
    std::size_t tries = 0;
    for (std::uint32_t place = first_free_;; ++place) {
      const std::uint32_t base = place ^ bytes[0];
      if ((base | 0xFFu) >= states_.size()) states_.resize((base | 0xFFu) + 1);
      if (std::all_of(bytes.begin(), bytes.end(), [&](unsigned char b) { return states_[base ^ b].parent == kFree; }))
        return base;
      if (++tries == kPatience) first_free_ = place;  // the places before are too scattered to be worth the search
    }
  }

  static constexpr std::size_t kPatience = 64;
  const Keys& keys_;
  std::vector<State>& states_;
  std::vector<Node> waiting_;
  std::uint32_t first_free_ = 1;
};

PrefixTrie::PrefixTrie(const std::vector<std::pair<std::string, std::int32_t>>& sorted) { Builder(sorted, states_); }

Unigram::Unigram(std::vector<std::pair<std::string, double>> pieces, UnigramOptions options, std::string where)
    : pieces_(std::move(pieces)), options_(options), where_(std::move(where)) {
  constexpr double kUnknownPenalty = 10.0;
  if (options_.unknown && *options_.unknown >= size())
    throw DataError(fmt::format("{}.unk_id: is {}; the vocabulary has {} pieces", where_, *options_.unknown, size()));
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (!std::isfinite(pieces_[i].second))
      throw DataError(fmt::format("{}.vocab[{}]: the score of '{}' is not finite", where_, i, pieces_[i].first));
    lowest = std::min(lowest, pieces_[i].second);
    ids_[pieces_[i].first] = static_cast<std::int32_t>(i);  // of equal pieces the last one counts
  }
  unknown_score_ = lowest - kUnknownPenalty;
  std::vector<std::pair<std::string, std::int32_t>> sorted(ids_.begin(), ids_.end());
  std::erase_if(sorted, [](const auto& entry) { return entry.first.empty(); });
  std::sort(sorted.begin(), sorted.end());
  trie_ = std::make_unique<PrefixTrie>(sorted);
}

void Unigram::find_best_path(std::string_view word, std::vector<EncodeScratch::Node>& nodes) const {
  nodes.assign(word.size() + 1, {0.0, kUnreached, 0});
  for (std::size_t start = 0, length = 0; start < word.size(); start += length) {
    first_code_point(word.substr(start), length);
    const double before = nodes[start].score;
    bool has_character = false;
    const auto offer = [&](std::size_t size, std::int32_t id, double score) {
      EncodeScratch::Node& node = nodes[start + size];
      if (node.id == kUnreached || before + score > node.score)
        node = {before + score, id, static_cast<std::uint32_t>(start)};
    };
    trie_->prefixes(word.substr(start), [&](std::size_t size, std::int32_t id) {
      offer(size, id, pieces_[static_cast<std::size_t>(id)].second);
      has_character = has_character || size == length;
    });
    if (!has_character) offer(length, kUnknown, unknown_score_);
  }
}

void Unigram::encode(std::string_view word, EncodeScratch& scratch, TokenIds& ids) const {
  find_best_path(word, scratch.nodes);
  auto& spans = scratch.spans;  // from the last to the first; unknown ones in a row are one
  spans.clear();
  for (std::size_t end = word.size(); end > 0;) {
    const EncodeScratch::Node& node = scratch.nodes[end];
    const std::int32_t id = node.id == options_.unknown ? kUnknown : node.id;
    if (id == kUnknown && !spans.empty() && spans.back().id == kUnknown) {
      spans.back().start = node.start;
    } else {
      spans.push_back({node.start, static_cast<std::uint32_t>(end), id});
    }
    end = node.start;
  }
  for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
    if (span->id != kUnknown) {
      ids.push_back(span->id);
    } else {
      emit_unknown(word.substr(span->start, span->end - span->start), ids);
    }
  }
}

void Unigram::emit_unknown(std::string_view text, TokenIds& ids) const {
  if (const auto id = id_of(text)) {
    ids.push_back(*id);
    return;
  }
  if (options_.byte_fallback) {
    TokenIds bytes;
    for (const char c : text)
      if (const auto id = id_of(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c)))) bytes.push_back(*id);
    if (bytes.size() == text.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  if (!options_.unknown)
    throw DataError(
        fmt::format("{}: '{}' is not in the vocabulary, and the tokenizer has no token for unknown text "
                    "(unk_id)",
                    where_, text));
  ids.push_back(*options_.unknown);
}

std::optional<std::int32_t> Unigram::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string_view> Unigram::token_of(std::int32_t id) const {
  if (id < 0 || id >= size()) return std::nullopt;
  return pieces_[static_cast<std::size_t>(id)].first;
}

}  // namespace mneme::text
