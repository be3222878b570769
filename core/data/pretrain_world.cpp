#include "core/data/pretrain_world.h"

#include <array>
#include <string_view>

namespace mneme::data {

std::string WordMaker::loose(int most_syllables) {
  static constexpr std::array<std::string_view, 40> kOnsets = {
      "b", "c", "d", "f", "g", "h", "j",  "k",  "l",  "m",  "n",  "p",  "r",  "s",  "t",  "v",  "w",  "y",  "z",  "",
      "s", "t", "r", "m", "l", "p", "br", "cl", "dr", "fl", "gr", "pr", "pl", "sh", "st", "th", "tr", "ch", "sp", "qu"};
  static constexpr std::array<std::string_view, 14> kVowels = {"a", "e", "i",  "o",  "u",  "a",  "e",
                                                               "i", "o", "ee", "ea", "oo", "ai", "ou"};
  static constexpr std::array<std::string_view, 24> kCodas = {"",   "",   "",   "",   "n",  "r",  "s",  "t",
                                                              "l",  "m",  "d",  "k",  "p",  "g",  "x",  "ng",
                                                              "st", "nt", "ck", "sh", "rd", "ll", "er", "y"};
  const int syllables = 1 + static_cast<int>(random_.below(static_cast<std::uint64_t>(most_syllables)));
  std::string word;
  for (int i = 0; i < syllables; ++i) {
    word += kOnsets[random_.below(kOnsets.size())];
    word += kVowels[random_.below(kVowels.size())];
    if (i + 1 == syllables || random_.below(3) == 0) word += kCodas[random_.below(kCodas.size())];
  }
  return word.size() < 3 || word.size() > 8 ? loose(most_syllables) : word;
}

std::string WordMaker::fresh() {
  std::string word;
  do word = loose();
  while (!used_.insert(word).second);
  return word;
}

std::vector<std::string> WordMaker::fresh_list(int n) {
  std::vector<std::string> list;
  for (int i = 0; i < n; ++i) list.push_back(fresh());
  return list;
}

PretrainWorld::PretrainWorld(std::uint64_t seed) : lexicon(mini8_lexicon()) {
  RandomStream random(seed, "pretrain/world");
  WordMaker words(random);
  const auto group = [&](int members) {
    std::string name = words.fresh();
    return Group{std::move(name), words.fresh_list(members)};
  };
  for (int i = 0; i < 16; ++i) groups.push_back(group(8));
  for (int i = 0; i < 6; ++i) relations.push_back(group(0));
  for (auto& relation : relations) {
    relation.members = words.fresh_list(5);
    for (int i = 0; i < 15; ++i) keys.push_back(words.fresh());
  }
  for (int i = 0; i < 4; ++i) moods.push_back(group(10));
  for (int i = 0; i < 80; ++i) {
    std::string easy = words.fresh();
    plain.emplace_back(words.fresh(), std::move(easy));
  }
  gains = words.fresh_list(8);
  losses = words.fresh_list(8);
  fillers = words.fresh_list(16);
}

}  // namespace mneme::data
