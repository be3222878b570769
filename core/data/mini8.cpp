#include "core/data/mini8.h"

#include <fmt/format.h>

#include <memory>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/random.h"
#include "core/base/suggest.h"
#include "core/data/mini8_domains.h"

namespace mneme::data {

namespace {
const Mini8Domain& domain(std::string_view name) {
  for (const Mini8Domain& candidate : mini8_domains())
    if (candidate.name == name) return candidate;
  throw DataError(fmt::format("mini8 has no task '{}'{}", name, hint(name, mini8_names())));
}

/// The split that a prompt belongs to, by its hash: splits are disjoint whatever their sizes.
Split home(const std::string& prompt) {
  const std::uint64_t slot = (fnv1a(prompt) >> 32) % 8;
  return slot == 0 ? Split::kTest : slot == 1 ? Split::kEval : Split::kTrain;
}

class Mini8Source final : public TaskSource {
 public:
  Mini8Source(std::string name, Mini8Options options) : name_(std::move(name)), options_(std::move(options)) {}
  std::vector<Example> load(Split split) const override { return mini8_rows(name_, split, options_); }
  std::string sha256(Split split) const override { return rows_sha256(load(split)); }

 private:
  std::string name_;
  Mini8Options options_;
};
}  // namespace

const std::vector<std::string>& mini8_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Mini8Domain& each : mini8_domains()) list.emplace_back(each.name);
    return list;
  }();
  return names;
}

TaskSpec mini8_spec(std::string_view name) {
  const Mini8Domain& source = domain(name);
  TaskSpec spec;
  spec.name = source.name;
  spec.metric = source.metric;
  for (std::size_t i = 0; i < source.letters; ++i) spec.labels.emplace_back(1, static_cast<char>('A' + i));
  spec.max_new_tokens = static_cast<std::int64_t>(source.max_new_tokens);
  spec.cue = source.cue;
  return spec;
}

std::vector<Example> mini8_rows(std::string_view name, Split split, const Mini8Options& options) {
  const Mini8Domain& source = domain(name);
  const std::int64_t rows = split == Split::kTrain  ? options.train_rows
                            : split == Split::kEval ? options.eval_rows
                                                    : options.test_rows;
  constexpr int kPatience = 2000;  // draws without a new prompt before a domain counts as exhausted
  RandomStream random(options.seed, fmt::format("mini8/{}/{}", name, to_string(split)));
  std::set<std::string> seen;
  std::vector<Example> result;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::size_t kind = static_cast<std::size_t>(i) % source.kinds;
    Example example = source.draw(random, kind);
    for (int tries = 0; home(example.prompt) != split || seen.contains(example.prompt); ++tries) {
      if (tries == kPatience)
        throw DataError(
            fmt::format("mini8 task '{}': {} {} rows were asked for, but only {} distinct ones were found; "
                        "ask for fewer",
                        name, rows, to_string(split), i));
      example = source.draw(random, kind);
    }
    seen.insert(example.prompt);
    example.row_id = std::to_string(i);
    example.references = {example.answer};
    if (example.source.empty()) example.source = example.prompt;
    result.push_back(std::move(example));
  }
  return result;
}

Stream mini8_stream(const Mini8Options& options) {
  const std::vector<std::string>& order = options.order.empty() ? mini8_names() : options.order;
  Stream stream{"mini8", {}};
  std::set<std::string> used;
  for (const std::string& name : order) {
    TaskSpec spec = mini8_spec(name);
    if (!used.insert(name).second) throw DataError(fmt::format("mini8: the order names task '{}' twice", name));
    stream.tasks.emplace_back(std::move(spec), std::make_shared<Mini8Source>(name, options));
  }
  return stream;
}

}  // namespace mneme::data
