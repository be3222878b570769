#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "core/data/mini8_domains.h"

namespace mneme::data {

/// Pronounceable made-up words.
class WordMaker {
 public:
  explicit WordMaker(RandomStream& random) : random_(random) {}

  /// A word of one to so many syllables that may repeat an earlier one.
  std::string loose(int most_syllables = 2);
  /// A word unlike all earlier fresh ones.
  std::string fresh();
  std::vector<std::string> fresh_list(int n);

 private:
  RandomStream& random_;
  std::set<std::string> used_;
};

/// What is true in the world of the pretraining text: every document draws from it, so that the model learns it by
/// heart. All words are made up, but for the lexicon.
struct PretrainWorld {
  struct Group {
    std::string name;
    std::vector<std::string> members;
  };

  explicit PretrainWorld(std::uint64_t seed);

  std::vector<Group> groups;                               ///< kinds and their members
  std::vector<Group> relations;                            ///< questions and their possible values
  std::vector<std::string> keys;                           ///< key 15 r + i has value i mod 5 of relation r
  std::vector<Group> moods;                                ///< verbs that express one of four moods
  std::vector<std::pair<std::string, std::string>> plain;  ///< long word, plain word
  std::vector<std::string> gains, losses, fillers;
  std::vector<Mini8Word> lexicon;
};

}  // namespace mneme::data
