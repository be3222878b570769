#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/data/task.h"
#include "core/text/tokenizer.h"

namespace mneme::data {

/// How long token sequences may get. A limit of 0 is none.
struct LengthLimits {
  std::int64_t max_total = 0;    ///< prompt + answer + special; what a decoder-only model sees in training
  std::int64_t max_prompt = 0;   ///< prompt alone (without special tokens)
  std::int64_t max_answer = 0;   ///< a longer answer is cut at its end, counted; 0: never cut
  std::int64_t special = 2;      ///< tokens that the model's side adds to the total: bos and eos
  bool separate_answer = false;  ///< an encoder-decoder's answer: a text of its own, and no part of max_total
};

/// Token ids of an example; special tokens are not among them.
struct TokenizedExample {
  std::vector<std::int32_t> prompt;
  std::vector<std::int32_t> answer;
  std::int64_t cut_tokens = 0;         ///< taken out of the prompt's body
  std::int64_t answer_cut_tokens = 0;  ///< taken off the answer's end: such an answer must not be followed by eos
};

/// Tokenises prompt and answer. A prompt that does not fit loses tokens of its body; the head (instruction) and the
/// tail (cue) stay whole. Throws DataError naming task and row if head, tail and answer alone do not fit.
TokenizedExample tokenize(const text::Tokenizer& tokenizer, const TaskSpec& spec, const Example& example,
                          const LengthLimits& limits);

/// A tokenised split: views into a memory-mapped cache file, or into memory of its own.
class TokenizedSplit {
 public:
  struct View {
    std::span<const std::int32_t> prompt, answer;
    std::int64_t cut_tokens, answer_cut_tokens;
  };

  std::size_t size() const;
  /// Lives as long as any copy of this object.
  View operator[](std::size_t row) const;

  struct Summary {
    std::int64_t tokens = 0;             ///< of all prompts and answers
    std::int64_t longest = 0;            ///< tokens of the longest prompt + answer
    std::int64_t cut_rows = 0;           ///< rows whose prompt lost tokens
    std::int64_t cut_tokens = 0;         ///< tokens that prompts lost
    std::int64_t answer_cut_rows = 0;    ///< rows whose answer lost tokens
    std::int64_t answer_cut_tokens = 0;  ///< tokens that answers lost
  };
  Summary summary() const;

  class Storage;
  explicit TokenizedSplit(std::shared_ptr<const Storage> storage);

 private:
  std::shared_ptr<const Storage> storage_;
};

/// Tokenises a split once: the result is kept below `cache` under a hash of the rows, the tokenizer's identity, the
/// spec's head and tail and the limits, and mapped into memory when it is there already. Safe against concurrent
/// writers; a torn or foreign file is made anew. An empty `cache` keeps the result in memory only. What was cut is
/// logged.
TokenizedSplit tokenize_split(const text::Tokenizer& tokenizer, const Task& task, Split split,
                              const LengthLimits& limits, const std::filesystem::path& cache);

}  // namespace mneme::data
