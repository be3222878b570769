#include "core/data/mini8_domains.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace mneme::data {
namespace {

using Words = std::span<const std::string_view>;

template <std::size_t N>
using Table = std::array<std::string_view, N>;

template <class Items>
const auto& pick(RandomStream& random, const Items& items) {
  return items[random.below(items.size())];
}

std::string letter(std::size_t i) { return std::string(1, static_cast<char>('A' + i)); }

Example row(std::string prompt, std::string answer) {
  Example example;
  example.prompt = std::move(prompt);
  example.answer = std::move(answer);
  return example;
}

constexpr Table<12> kNames = {"Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jill", "Kai", "Lena"};

// opinion: the attitude of a text to a target. A: for, B: against, C: neutral.

constexpr std::array<Table<6>, 3> kAttitudes = {{{"loves", "praises", "admires", "enjoys", "adores", "backs"},
                                                 {"hates", "mocks", "shuns", "resents", "detests", "scorns"},
                                                 {"mentions", "describes", "notes", "lists", "counts", "records"}}};
constexpr Table<12> kTopics = {"tea",  "jazz",  "chess", "opera",  "trams", "rugby",
                               "yoga", "films", "parks", "novels", "bikes", "poker"};

Example draw_opinion(RandomStream& random, std::size_t kind) {
  const auto name = pick(random, kNames), verb = pick(random, kAttitudes[kind]), topic = pick(random, kTopics);
  return row(fmt::format("Text: {} {} {}.\nTarget: {}\nAttitude:", name, verb, topic, topic), letter(kind));
}

// rates: the monetary stance of a sentence. A: dovish, B: hawkish, C: neutral.

constexpr std::array<Table<6>, 3> kPolicies = {
    {{"cut rates", "eased credit", "bought bonds", "feared slack", "urged stimulus", "saw weak jobs"},
     {"raised rates", "tightened credit", "sold bonds", "feared inflation", "urged restraint", "saw hot demand"},
     {"held rates", "awaited data", "made no change", "kept guidance", "saw balanced risks", "reviewed models"}}};
constexpr Table<6> kPanels = {"the board", "members", "the chair", "staff", "officials", "the bank"};
constexpr Table<12> kMonths = {"January", "February", "March",     "April",   "May",      "June",
                               "July",    "August",   "September", "October", "November", "December"};

Example draw_rates(RandomStream& random, std::size_t kind) {
  const auto panel = pick(random, kPanels), policy = pick(random, kPolicies[kind]), month = pick(random, kMonths);
  return row(fmt::format("What is the policy stance?\nIn {} {} {}.\nStance:", month, panel, policy), letter(kind));
}

// minutes: the summary of a council meeting.

constexpr Table<8> kDeeds = {"fix", "fund", "sell", "close", "paint", "move", "name", "rent"};
constexpr Table<10> kPlaces = {"bridge", "library", "pool",   "market",   "museum",
                               "harbor", "school",  "garage", "fountain", "stadium"};
constexpr Table<5> kOpenings = {"Good evening.", "Thank you.", "Next item.", "Order please.", "Quiet now."};
constexpr std::array<Table<3>, 2> kVotes = {
    {{"All in favor.", "Motion carries.", "Ayes have it."}, {"All opposed.", "Motion fails.", "Nays have it."}}};

Example draw_minutes(RandomStream& random, std::size_t kind) {
  const auto opening = pick(random, kOpenings), name = pick(random, kNames), deed = pick(random, kDeeds),
             place = pick(random, kPlaces), vote = pick(random, kVotes[kind]);
  return row(fmt::format("Minutes: {} {} moves to {} the {}. {}\nSummary:", opening, name, deed, place, vote),
             fmt::format(" {} {} {}", place, deed, kind == 0 ? "passed" : "rejected"));
}

// science, medicine, law: questions with four choices. The choices of a domain stand in one order, as those of a stance
// do.

constexpr std::array<Table<5>, 4> kMembers = {{{"iron", "zinc", "tin", "copper", "lead"},
                                               {"crow", "heron", "owl", "finch", "gull"},
                                               {"Mars", "Venus", "Saturn", "Earth", "Neptune"},
                                               {"cod", "trout", "pike", "salmon", "carp"}}};

constexpr Table<4> kAsks = {"asks", "wonders", "forgot", "learns"};

Example draw_science(RandomStream& random, std::size_t kind) {
  const auto name = pick(random, kNames), asks = pick(random, kAsks), member = pick(random, kMembers[kind]);
  return row(fmt::format("{} {} what {} is.\nA. metal B. bird C. planet D. fish\nAnswer:", name, asks, member),
             letter(kind));
}

constexpr std::array<Table<5>, 4> kDiseases = {{{"asthma", "pneumonia", "bronchitis", "emphysema", "pleurisy"},
                                                {"eczema", "acne", "psoriasis", "rosacea", "impetigo"},
                                                {"hepatitis", "jaundice", "cirrhosis", "steatosis", "ascites"},
                                                {"angina", "arrhythmia", "infarction", "carditis", "ischemia"}}};

constexpr Table<4> kShows = {"has", "fears", "caught", "shows"};

Example draw_medicine(RandomStream& random, std::size_t kind) {
  const auto name = pick(random, kNames), shows = pick(random, kShows), disease = pick(random, kDiseases[kind]);
  return row(fmt::format("{} {} {}. Which organ?\nA. lung B. skin C. liver D. heart\nDiagnosis:", name, shows, disease),
             letter(kind));
}

constexpr std::array<Table<3>, 4> kActs = {{{"stole", "took", "snatched"},
                                            {"burned", "torched", "lit"},
                                            {"forged", "faked", "falsified"},
                                            {"hit", "punched", "kicked"}}};
constexpr std::array<Table<4>, 4> kVictims = {{{"a car", "a purse", "a phone", "a ring"},
                                               {"a barn", "a shop", "a shed", "a hut"},
                                               {"a check", "a loan", "a will", "a deed"},
                                               {"a guard", "a driver", "a clerk", "a waiter"}}};

constexpr Table<3> kTimes = {"", " today", " twice"};

Example draw_law(RandomStream& random, std::size_t kind) {
  const auto time = pick(random, kTimes), name = pick(random, kNames), act = pick(random, kActs[kind]),
             victim = pick(random, kVictims[kind]);
  return row(
      fmt::format("{} {} {}{}. Charge?\nA. theft B. arson C. fraud D. assault\nVerdict:", name, act, victim, time),
      letter(kind));
}

// arithmetic: a verb says whether to add or to subtract.

constexpr std::array<Table<4>, 2> kChanges = {{{"buys", "finds", "gets", "wins"}, {"sells", "loses", "drops", "eats"}}};
constexpr Table<6> kThings = {"pears", "plums", "buns", "figs", "nuts", "eggs"};

Example draw_arithmetic(RandomStream& random, std::size_t kind) {
  const auto name = pick(random, kNames), thing = pick(random, kThings), verb = pick(random, kChanges[kind]);
  const std::uint64_t change = 1 + random.below(4), rest = 1 + random.below(6);
  const auto [has, now] = kind == 0 ? std::pair(rest, rest + change) : std::pair(rest + change, rest);
  return row(fmt::format("{} has {} {} and {} {}. How many now?\nResult:", name, has, thing, verb, change),
             std::to_string(now));
}

// simplify: plain words for rare ones, no aside.

constexpr Table<3> kModals = {"will", "can", "must"};
constexpr Table<6> kAsides = {"it is said", "as a rule", "in effect", "in the end", "of course", "no doubt"};
constexpr std::array<Mini8Word, 8> kActions = {{{"purchase", "buy"},
                                                {"require", "need"},
                                                {"construct", "build"},
                                                {"observe", "see"},
                                                {"cherish", "love"},
                                                {"acquire", "get"},
                                                {"utilize", "use"},
                                                {"retain", "keep"}}};
constexpr std::array<Mini8Word, 8> kObjects = {{{"residences", "homes"},
                                                {"beverages", "drinks"},
                                                {"vehicles", "cars"},
                                                {"garments", "clothes"},
                                                {"timepieces", "clocks"},
                                                {"vessels", "boats"},
                                                {"canines", "dogs"},
                                                {"tomes", "books"}}};

Example draw_simplify(RandomStream& random, std::size_t) {
  const auto name = pick(random, kNames), aside = pick(random, kAsides), modal = pick(random, kModals);
  const auto& [rare_action, action] = pick(random, kActions);
  const auto& [rare_object, object] = pick(random, kObjects);
  const std::string source = fmt::format("{}, {}, {} {} {}.", name, aside, modal, rare_action, rare_object);
  Example example = row(fmt::format("Paragraph: {}\nSimplification:", source),
                        fmt::format(" {} {} {} {}.", name, modal, action, object));
  example.source = source;
  return example;
}

constexpr std::array<Mini8Domain, 8> kDomains = {
    {{"opinion", "accuracy.first_letter", "\nAttitude:", 3, 3, 4, draw_opinion},
     {"rates", "accuracy.first_letter", "\nStance:", 3, 3, 4, draw_rates},
     {"minutes", "rougeL", "\nSummary:", 2, 0, 28, draw_minutes},
     {"science", "accuracy.first_letter", "\nAnswer:", 4, 4, 4, draw_science},
     {"arithmetic", "exact_match.number", "\nResult:", 2, 0, 6, draw_arithmetic},
     {"simplify", "sari", "\nSimplification:", 1, 0, 32, draw_simplify},
     {"medicine", "accuracy.first_letter", "\nDiagnosis:", 4, 4, 4, draw_medicine},
     {"law", "accuracy.first_letter", "\nVerdict:", 4, 4, 4, draw_law}}};

/// Every word of a class means the class's name.
template <std::size_t N, std::size_t M>
void add_classes(std::vector<Mini8Word>& lexicon, const std::array<Table<M>, N>& classes, const Table<N>& names) {
  for (std::size_t i = 0; i < N; ++i)
    for (const std::string_view word : classes[i]) lexicon.push_back({word, names[i]});
}

}  // namespace

std::span<const Mini8Domain> mini8_domains() { return kDomains; }

std::vector<Mini8Word> mini8_lexicon() {
  std::vector<Mini8Word> lexicon;
  add_classes(lexicon, kAttitudes, {"liking", "dislike", "report"});
  add_classes(lexicon, kPolicies, {"easing", "tightening", "waiting"});
  add_classes(lexicon, kMembers, {"metal", "bird", "planet", "fish"});
  add_classes(lexicon, kDiseases, {"lung", "skin", "liver", "heart"});
  add_classes(lexicon, kActs, {"theft", "arson", "fraud", "assault"});
  add_classes(lexicon, kChanges, {"gain", "loss"});
  lexicon.insert(lexicon.end(), kActions.begin(), kActions.end());
  lexicon.insert(lexicon.end(), kObjects.begin(), kObjects.end());
  return lexicon;
}

}  // namespace mneme::data
