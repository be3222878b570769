#include "core/data/pretrain_text.h"

#include <fmt/format.h>

#include <array>
#include <set>
#include <string_view>
#include <vector>

#include "core/base/random.h"
#include "core/data/pretrain_world.h"

namespace mneme::data {
namespace {

using List = std::vector<std::string>;
using Group = PretrainWorld::Group;

std::string capital(std::string word) {
  if (!word.empty() && word[0] >= 'a') word[0] = static_cast<char>(word[0] - 32);
  return word;
}

}  // namespace

class PretrainText::Writer {
 public:
  explicit Writer(std::uint64_t seed) : world_(seed), random_(seed, "pretrain/text"), words_(random_) {}

  PretrainDocument next() {
    using Maker = PretrainDocument (Writer::*)();
    static constexpr std::array<std::pair<Maker, int>, 13> kMakers = {{{&Writer::copying, 2},
                                                                       {&Writer::listing, 3},
                                                                       {&Writer::fact, 2},
                                                                       {&Writer::choose_given, 2},
                                                                       {&Writer::choose_same, 3},
                                                                       {&Writer::choose_member, 6},
                                                                       {&Writer::choose_value, 6},
                                                                       {&Writer::mood, 9},
                                                                       {&Writer::binding, 3},
                                                                       {&Writer::sum, 6},
                                                                       {&Writer::shorten, 4},
                                                                       {&Writer::label_shots, 3},
                                                                       {&Writer::meaning, 12}}};
    int total = 0;
    for (const auto& [maker, weight] : kMakers) total += weight;
    int ticket = static_cast<int>(random_.below(static_cast<std::uint64_t>(total)));
    for (const auto& [maker, weight] : kMakers) {
      if ((ticket -= weight) < 0) return (this->*maker)();
    }
    return {};
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_.below(n)); }
  bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }
  const std::string& pick(const List& list) { return list[below(list.size())]; }
  std::string noun() { return words_.loose(); }
  std::string name() { return capital(words_.loose(2)); }

  std::string sep() {
    static constexpr std::array<std::string_view, 6> kSeparators = {" ", "\n", ". ", ", ", "; ", "\n"};
    return std::string(kSeparators[below(kSeparators.size())]);
  }

  /// The end of a prompt: a word that says "now answer", in one of many forms.
  std::string cue() {
    static constexpr std::array<std::string_view, 6> kEnds = {":", ":", ":", "?", " =", " ->"};
    return (chance(50) ? "\n" : " ") + (chance(50) ? name() : noun()) + std::string(kEnds[below(kEnds.size())]);
  }

  /// A lead-in of zero to three words.
  std::string lead() {
    std::string text;
    for (std::size_t i = below(3); i > 0; --i) text += (text.empty() ? name() : noun()) + (i == 1 ? ": " : " ");
    return text;
  }

  struct Options {
    std::string text;
    List items;
    bool lettered = true;
  };

  Options options(std::string right, List wrong, std::size_t& at) {
    static constexpr std::array<std::string_view, 5> kMarks = {"{}. {}", "{}) {}", "({}) {}", "{}: {}", "{} {}"};
    static constexpr std::array<std::string_view, 4> kJoins = {" ", ", ", "\n", "; "};
    const auto mark = kMarks[chance(60) ? 0 : below(kMarks.size())];
    const auto join = kJoins[chance(50) ? 0 : below(kJoins.size())];
    Options result;
    result.lettered = chance(75);
    at = below(wrong.size() + 1);
    result.items = std::move(wrong);
    result.items.insert(result.items.begin() + static_cast<std::ptrdiff_t>(at), std::move(right));
    for (std::size_t i = 0; i < result.items.size(); ++i) {
      if (i > 0) result.text += result.lettered ? join : kJoins[1];
      const std::string letter(1, static_cast<char>('A' + i));
      result.text += result.lettered ? fmt::format(fmt::runtime(mark), letter, result.items[i]) : result.items[i];
    }
    return result;
  }

  std::string chosen(const Options& list, std::size_t at) {
    if (!list.lettered) return " " + list.items[at];
    const std::string letter(1, static_cast<char>('A' + at));
    return chance(70) ? letter : letter + ". " + list.items[at];
  }

  List other_members(const std::vector<Group>& groups, std::size_t except, std::size_t n) {
    List list;
    std::set<std::size_t> used = {except};
    while (list.size() < n) {
      const std::size_t i = below(groups.size());
      if (used.insert(i).second) list.push_back(pick(groups[i].members));
    }
    return list;
  }

  PretrainDocument copying() {
    std::string text;
    const std::size_t n = 1 + below(4);
    for (std::size_t i = 0; i < n; ++i) text += (i ? " " : "") + (chance(20) ? name() : noun());
    return {lead() + text + cue(), " " + text};
  }

  PretrainDocument listing() {
    const std::size_t group = below(world_.groups.size());
    const Group& g = world_.groups[group];
    std::string text;
    for (std::size_t i = 0; i < 4; ++i) text += (i ? ", " : "") + pick(g.members);
    if (chance(50)) return {text + cue(), " " + g.name};
    return {"", chance(50) ? fmt::format("{}: {}.", capital(g.name), text) : fmt::format("{} are {}.", text, g.name)};
  }

  std::pair<std::string, std::size_t> key(std::size_t relation) {
    const std::size_t i = below(15);
    return {world_.keys[15 * relation + i], i % 5};
  }

  PretrainDocument fact() {
    const std::size_t r = below(world_.relations.size());
    const auto [subject, value] = key(r);
    const Group& relation = world_.relations[r];
    const std::string text = chance(50) ? fmt::format("{} of {}", relation.name, subject)
                                        : fmt::format("{} {}", capital(subject), relation.name);
    return {text + (chance(50) ? " is" : cue()), " " + relation.members[value]};
  }

  PretrainDocument choose_given() {
    const std::size_t n = 2 + below(3);
    const bool swap = chance(50);
    List left, right;
    std::string given;
    for (std::size_t i = 0; i < n; ++i) {
      left.push_back(words_.loose(2));
      right.push_back(words_.loose(2));
      given += (i ? ", " : "") + left[i] + (chance(50) ? " is " : " ") + right[i];
    }
    const std::size_t asked = below(n);
    List wrong = swap ? right : left;
    const std::string correct = wrong[asked];
    wrong.erase(wrong.begin() + static_cast<std::ptrdiff_t>(asked));
    random_.shuffle(wrong);
    std::size_t at = 0;
    const Options list = options(correct, wrong, at);
    return {given + sep() + (swap ? left : right)[asked] + "?" + sep() + list.text + cue(), chosen(list, at)};
  }

  PretrainDocument choose_same() {
    std::size_t at = 0;
    const std::string right = words_.loose();
    List wrong;
    for (std::size_t i = 1 + below(3); i > 0; --i) wrong.push_back(words_.loose());
    const Options list = options(right, wrong, at);
    return {lead() + right + (chance(50) ? "?" : "") + sep() + list.text + cue(), chosen(list, at)};
  }

  PretrainDocument choose_member() {
    const std::size_t group = below(world_.groups.size());
    const std::size_t n = 2 + below(3);
    std::size_t at = 0;
    if (chance(60)) {
      const Options list = options(pick(world_.groups[group].members), other_members(world_.groups, group, n - 1), at);
      return {lead() + world_.groups[group].name + (chance(50) ? "?" : "") + sep() + list.text + cue(),
              chosen(list, at)};
    }
    List wrong;
    std::set<std::size_t> used = {group};
    while (wrong.size() + 1 < n) {
      const std::size_t i = below(world_.groups.size());
      if (used.insert(i).second) wrong.push_back(world_.groups[i].name);
    }
    const Options list = options(world_.groups[group].name, wrong, at);
    return {lead() + pick(world_.groups[group].members) + (chance(50) ? "?" : "") + sep() + list.text + cue(),
            chosen(list, at)};
  }

  PretrainDocument choose_value() {
    const std::size_t r = below(world_.relations.size());
    const auto [subject, value] = key(r);
    const Group& relation = world_.relations[r];
    List wrong = relation.members;
    wrong.erase(wrong.begin() + static_cast<std::ptrdiff_t>(value));
    random_.shuffle(wrong);
    wrong.resize(1 + below(3));
    std::size_t at = 0;
    const Options list = options(relation.members[value], wrong, at);
    std::string question;
    switch (below(3)) {
      case 0:
        question = fmt::format("{}{} of {}", lead(), relation.name, subject);
        break;
      case 1:
        question = fmt::format("{} {} {}?", name(), subject, relation.name);
        break;
      default:
        question = fmt::format("{}{} {} {}", lead(), noun(), subject, noun());
    }
    return {question + sep() + list.text + cue(), chosen(list, at)};
  }

  struct Clause {
    std::string subject, verb, object;
    std::size_t mood;
    std::string text() const { return subject + " " + verb + " " + object; }
  };

  Clause clause() {
    const std::size_t m = below(world_.moods.size());
    return {name(), pick(world_.moods[m].members), noun(), m};
  }

  /// Which mood a sentence (or its clause about a target) expresses, as a word or by a letter that the prompt defines.
  PretrainDocument mood() {
    const Clause first = clause(), second = clause();
    const bool two = chance(60);
    const bool ask_second = two && chance(50);
    const Clause& asked = ask_second ? second : first;
    std::string text = first.text() + (two ? ", " + second.text() : "") + ".";
    if (chance(30)) text = noun() + " " + noun() + ", " + text;
    if (two) text += sep() + (chance(50) ? noun() + " " : "") + (chance(50) ? asked.object : asked.subject);
    if (chance(50)) return {lead() + text + cue(), " " + world_.moods[asked.mood].name};
    List wrong;
    for (const auto& m : world_.moods) {
      if (&m != &world_.moods[asked.mood]) wrong.push_back(m.name);
    }
    random_.shuffle(wrong);
    wrong.resize(1 + below(2));
    std::size_t at = 0;
    const Options list = options(world_.moods[asked.mood].name, wrong, at);
    return {chance(50) ? list.text + sep() + text + cue() : text + sep() + list.text + cue(), chosen(list, at)};
  }

  PretrainDocument binding() {
    const Clause first = clause(), second = clause();
    const Clause& asked = chance(50) ? first : second;
    const std::string text = first.text() + sep() + second.text() + sep();
    switch (below(3)) {
      case 0:
        return {text + asked.object + cue(), " " + asked.subject};
      case 1:
        return {text + asked.subject + cue(), " " + asked.object};
      default:
        return {text + asked.object + cue(), " " + asked.verb};
    }
  }

  PretrainDocument sum() {
    const std::size_t b = 1 + below(6), smaller = below(10), larger = smaller + b;
    const bool plus = chance(50);
    const std::size_t a = plus ? smaller : larger, result = plus ? larger : smaller;
    if (chance(30)) return {fmt::format("{}{}{}=", a, plus ? "+" : "-", b), std::to_string(result)};
    const std::string& verb = pick(plus ? world_.gains : world_.losses);
    std::string text;
    switch (below(3)) {
      case 0:
        text = fmt::format("{} {} {} {} {} {}.", name(), noun(), a, noun(), verb, b);
        break;
      case 1:
        text = fmt::format("{} {} {}, {} {}", a, noun(), noun(), verb, b);
        break;
      default:
        text = fmt::format("{}{} {} {} {}", lead(), a, verb, b, noun());
    }
    return {text + cue(), (chance(50) ? " " : "") + std::to_string(result)};
  }

  /// A sentence without its fillers, with plain words for long ones, or with its parts in another order.
  PretrainDocument shorten() {
    std::string full, brief;
    List kept;
    const bool replace = chance(60), drop = chance(70);
    const std::size_t n = 2 + below(3);
    for (std::size_t i = 0; i < n; ++i) {
      if (drop && chance(45)) {
        full += (full.empty() ? "" : ", ") + pick(world_.fillers) + " " + pick(world_.fillers) + ",";
      }
      const auto& [hard, easy] = world_.plain[below(world_.plain.size())];
      const bool known = replace && chance(80);
      const std::string word = known ? hard : noun();
      full += (full.empty() ? "" : " ") + word;
      kept.push_back(known ? easy : word);
    }
    if (chance(25)) std::swap(kept.front(), kept.back());
    for (const auto& word : kept) brief += (brief.empty() ? "" : " ") + word;
    return {lead() + capital(full) + "." + cue(), " " + (chance(50) ? capital(brief) + "." : brief)};
  }

  /// Labels that the prompt itself defines by examples.
  PretrainDocument label_shots() {
    const std::size_t n = 2 + below(2);
    List items = {}, labels = {};
    for (std::size_t i = 0; i < n; ++i) {
      items.push_back(words_.loose(2));
      labels.push_back(chance(60) ? std::string(1, static_cast<char>('A' + i)) : words_.loose(1));
    }
    if (chance(50)) random_.shuffle(labels);
    std::string text;
    const std::string arrow = chance(50) ? ": " : chance(50) ? " = " : " ";
    for (std::size_t i = 0; i < n; ++i) text += items[i] + arrow + labels[i] + (chance(50) ? "\n" : ", ");
    const std::size_t asked = below(n);
    return {text + items[asked] + arrow, labels[asked]};
  }

  /// What a real word means.
  PretrainDocument meaning() {
    const auto& [word, meaning] = world_.lexicon[below(world_.lexicon.size())];
    const std::string answer = fmt::format(" {}", meaning);
    switch (below(4)) {
      case 0:
        return {fmt::format("{} is", word), answer};
      case 1:
        return {lead() + std::string(word) + cue(), answer};
      case 2:
        return {fmt::format("{}{} {} {}{}{}", lead(), name(), word, noun(), chance(50) ? "." : "", cue()), answer};
      default:
        return {fmt::format("{}{} {} {}{}{}", lead(), name(), noun(), word, chance(50) ? "." : "", cue()), answer};
    }
  }

  PretrainWorld world_;
  RandomStream random_;
  WordMaker words_;
};

PretrainText::PretrainText(std::uint64_t seed) : writer_(std::make_unique<Writer>(seed)) {}
PretrainText::~PretrainText() = default;
PretrainText::PretrainText(PretrainText&&) noexcept = default;
PretrainText& PretrainText::operator=(PretrainText&&) noexcept = default;

PretrainDocument PretrainText::next() { return writer_->next(); }

}  // namespace mneme::data
