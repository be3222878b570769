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

struct Pair {
  std::string_view first, second;
};

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

/// Two people, two topics; the target is one of them.
Example draw_opinion(RandomStream& random, std::size_t kind) {
  const auto names = random.sample(kNames.size(), 2);
  const auto topics = random.sample(kTopics.size(), 2);
  const std::size_t target = random.below(2);
  std::string text;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& verbs = kAttitudes[i == target ? kind : random.below(3)];
    text += fmt::format("{}{} {} {}", i == 0 ? "" : ", ", kNames[names[i]], pick(random, verbs), kTopics[topics[i]]);
  }
  return row(fmt::format("Text: {}.\nTarget: {}\nAttitude:", text, kTopics[topics[target]]), letter(kind));
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

// science, medicine, law: questions with four choices.

std::string choices(RandomStream& random, std::string_view right, std::vector<std::string_view> wrong,
                    std::size_t at) {
  random.shuffle(wrong);
  wrong.insert(wrong.begin() + static_cast<std::ptrdiff_t>(at), right);
  return fmt::format("A. {} B. {} C. {} D. {}", wrong[0], wrong[1], wrong[2], wrong[3]);
}

/// All of `words` but one.
std::vector<std::string_view> without(Words words, std::string_view one) {
  std::vector<std::string_view> rest;
  for (const auto word : words)
    if (word != one) rest.push_back(word);
  return rest;
}

constexpr Table<5> kKinds = {"metal", "bird", "planet", "fish", "plant"};
constexpr std::array<Table<5>, 5> kMembers = {{{"iron", "zinc", "tin", "copper", "lead"},
                                               {"crow", "heron", "owl", "finch", "gull"},
                                               {"Mars", "Venus", "Saturn", "Earth", "Neptune"},
                                               {"cod", "trout", "pike", "salmon", "carp"},
                                               {"oak", "fern", "moss", "ivy", "daisy"}}};

Example draw_science(RandomStream& random, std::size_t kind) {
  const std::size_t asked = random.below(kKinds.size());
  const auto right = pick(random, kMembers[asked]);
  std::vector<std::string_view> wrong;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    if (i != asked) wrong.push_back(pick(random, kMembers[i]));
  return row(fmt::format("Question: which is a {}?\n{}\nAnswer:", kKinds[asked], choices(random, right, wrong, kind)),
             letter(kind));
}

constexpr Table<5> kOrgans = {"lung", "skin", "liver", "heart", "eye"};
constexpr std::array<Pair, 15> kDiseases = {{{"asthma", "lung"},
                                             {"pneumonia", "lung"},
                                             {"bronchitis", "lung"},
                                             {"eczema", "skin"},
                                             {"acne", "skin"},
                                             {"psoriasis", "skin"},
                                             {"hepatitis", "liver"},
                                             {"jaundice", "liver"},
                                             {"cirrhosis", "liver"},
                                             {"angina", "heart"},
                                             {"arrhythmia", "heart"},
                                             {"infarction", "heart"},
                                             {"glaucoma", "eye"},
                                             {"cataract", "eye"},
                                             {"myopia", "eye"}}};

Example draw_medicine(RandomStream& random, std::size_t kind) {
  const auto& [disease, organ] = pick(random, kDiseases);
  return row(fmt::format("Which organ does {} harm?\n{}\nDiagnosis:", disease,
                         choices(random, organ, without(kOrgans, organ), kind)),
             letter(kind));
}

constexpr Table<5> kOffences = {"theft", "arson", "fraud", "assault", "bribery"};
constexpr std::array<Pair, 15> kActs = {{{"stole a car", "theft"},
                                         {"took a purse", "theft"},
                                         {"snatched a phone", "theft"},
                                         {"burned a barn", "arson"},
                                         {"torched a shop", "arson"},
                                         {"lit a warehouse", "arson"},
                                         {"forged a check", "fraud"},
                                         {"faked a loan", "fraud"},
                                         {"swindled a client", "fraud"},
                                         {"hit a guard", "assault"},
                                         {"punched a driver", "assault"},
                                         {"kicked a clerk", "assault"},
                                         {"paid off a judge", "bribery"},
                                         {"tipped an inspector", "bribery"},
                                         {"bought a vote", "bribery"}}};

Example draw_law(RandomStream& random, std::size_t kind) {
  const auto name = pick(random, kNames);
  const auto& [act, offence] = pick(random, kActs);
  return row(fmt::format("{} {}. Charge?\n{}\nVerdict:", name, act,
                         choices(random, offence, without(kOffences, offence), kind)),
             letter(kind));
}

// arithmetic: a verb says whether to add or to subtract.

constexpr std::array<Table<4>, 2> kChanges = {{{"buys", "finds", "gets", "wins"}, {"sells", "loses", "drops", "eats"}}};
constexpr Table<6> kThings = {"pears", "plums", "buns", "figs", "nuts", "eggs"};

Example draw_arithmetic(RandomStream& random, std::size_t kind) {
  const auto name = pick(random, kNames), thing = pick(random, kThings), verb = pick(random, kChanges[kind]);
  const std::uint64_t change = 1 + random.below(9), rest = 1 + random.below(20);
  const auto [has, now] = kind == 0 ? std::pair(rest, rest + change) : std::pair(rest + change, rest);
  return row(fmt::format("{} has {} {} and {} {}. How many now?\nResult:", name, has, thing, verb, change),
             std::to_string(now));
}

// simplify: plain words for rare ones, no aside.

constexpr Table<3> kModals = {"will", "can", "must"};
constexpr Table<6> kAsides = {"it is said", "as a rule", "in effect", "in the end", "of course", "no doubt"};
constexpr std::array<Pair, 8> kActions = {{{"purchase", "buy"},
                                           {"require", "need"},
                                           {"construct", "build"},
                                           {"observe", "see"},
                                           {"cherish", "love"},
                                           {"acquire", "get"},
                                           {"utilize", "use"},
                                           {"retain", "keep"}}};
constexpr std::array<Pair, 8> kObjects = {{{"residences", "homes"},
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

}  // namespace

std::span<const Mini8Domain> mini8_domains() { return kDomains; }

}  // namespace mneme::data
