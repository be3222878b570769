#include "core/model/generate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/model/beam_search.h"
#include "core/model/blocks/likeliest.h"
#include "core/model/derived_adapters.h"
#include "core/model/next_token.h"
#include "core/model/slot_decoder.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {
namespace {

/// Names the random stream of a prompt, so that what is drawn for it depends neither on others nor on their order.
std::string digest_of(std::span<const std::int32_t> prompt) {
  Sha256 hash;
  hash.update(prompt.data(), prompt.size_bytes());
  return hash.hex();
}

SlotDecoder::Size decoder_size(std::span<const GenerateJob> jobs, const ActiveAdapters& adapters, std::int64_t slots) {
  SlotDecoder::Size size{.slots = slots, .prompt = 1, .new_tokens = 1};
  for (const GenerateJob& job : jobs) {
    size.prompt = std::max(size.prompt, static_cast<std::int64_t>(job.prompt.size()));
    size.new_tokens = std::max(size.new_tokens, job.max_new_tokens);
  }
  if (adapters.prefix.defined()) size.prompt += adapters.prefix.size(1);
  return size;
}

/// What the decoder has read of a job: the prompt, or behind an encoder its start token, and the answer.
std::vector<std::int32_t> decoder_history(const TransformerConfig& config, const GenerateJob& job,
                                          std::span<const std::int32_t> answer) {
  std::vector<std::int32_t> history = job.prompt;
  if (config.encoder_decoder()) history = {static_cast<std::int32_t>(config.decoder_start_token_id)};
  history.insert(history.end(), answer.begin(), answer.end());
  return history;
}

/// Whether an answer ends with its last token, apart from its length.
bool stops(const GenerateOptions& options, const GenerateJob& job, std::size_t index,
           std::span<const std::int32_t> answer) {
  return std::find(job.stop.begin(), job.stop.end(), answer.back()) != job.stop.end() ||
         (options.stop_when && options.stop_when(index, answer));
}

/// Beam search, as many prompts at once as have slots for all their beams.
class BeamGenerator {
 public:
  BeamGenerator(const ModelWeights& weights, const ActiveAdapters& adapters, std::span<const GenerateJob> jobs,
                const GenerateOptions& options)
      : weights_(weights),
        adapters_(adapters),
        jobs_(jobs),
        options_(options),
        context_{.backend = options.backend, .dropout = nullptr},
        beams_(static_cast<std::size_t>(options.beam.beams)),
        answers_(jobs.size()) {}

  std::vector<std::vector<std::int32_t>> run() {
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < jobs_.size(); ++i)
      if (jobs_[i].max_new_tokens > 0) wanted.push_back(i);
    const std::size_t at_once = std::max<std::size_t>(static_cast<std::size_t>(options_.slots) / beams_, 1);
    for (std::size_t first = 0; first < wanted.size(); first += at_once)
      run_group(std::span(wanted).subspan(first, std::min(at_once, wanted.size() - first)));
    return std::move(answers_);
  }

 private:
  void run_group(std::span<const std::size_t> group) {
    std::vector<BeamSearch> searches;
    std::vector<GenerateJob> jobs;
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::int64_t> first_slots, indices, repeated, slots, sources;
    for (std::size_t g = 0; g < group.size(); ++g) {
      const std::size_t index = group[g];
      const GenerateJob& job = jobs_[index];
      searches.emplace_back(options_.beam, job, [this, &job, index](std::span<const std::int32_t> answer) {
        return stops(options_, job, index, answer);
      });
      jobs.push_back(job);
      prompts.push_back(job.prompt);
      indices.push_back(static_cast<std::int64_t>(index));
      first_slots.push_back(static_cast<std::int64_t>(g * beams_));
      for (std::size_t b = 0; b < beams_; ++b) {
        repeated.push_back(static_cast<std::int64_t>(index));
        slots.push_back(static_cast<std::int64_t>(g * beams_ + b));
        sources.push_back(first_slots.back());
      }
    }
    SlotDecoder decoder(weights_, decoder_size(jobs, adapters_, static_cast<std::int64_t>(slots.size())), context_);
    ActiveAdapters adapters = adapters_for_jobs(adapters_, repeated);
    adapters.prefix = at::Tensor();
    const at::Tensor first = decoder.start(prompts, adapters_for_jobs(adapters_, indices), first_slots);
    decoder.reorder(sources);
    at::Tensor logits = first.repeat_interleave(options_.beam.beams, 0);
    while (advance(searches, group, logits, sources)) {
      decoder.reorder(sources);
      std::vector<std::int64_t> tokens;
      for (const BeamSearch& search : searches)
        for (const BeamSearch::Beam& beam : search.running()) tokens.push_back(beam.tokens.back());
      logits = decoder.step(tokens, adapters, slots);
    }
    for (std::size_t g = 0; g < group.size(); ++g) answers_[group[g]] = searches[g].best();
    done_ += static_cast<std::int64_t>(group.size());
    if (options_.progress) options_.progress(done_);
  }

  /// \param sources [slots] which slot each beam continues \return whether a search goes on
  bool advance(std::vector<BeamSearch>& searches, std::span<const std::size_t> group, const at::Tensor& logits,
               std::vector<std::int64_t>& sources) const {
    const at::Tensor scores = at::log_softmax(logits.to(at::kFloat), 1).contiguous();
    const auto vocabulary = static_cast<std::size_t>(scores.size(1));
    bool going = false;
    for (std::size_t g = 0; g < searches.size(); ++g) {
      BeamSearch& search = searches[g];
      if (search.done()) continue;
      for (std::size_t b = 0; b < beams_; ++b)
        penalise_repetition({scores.data_ptr<float>() + (g * beams_ + b) * vocabulary, vocabulary},
                            decoder_history(weights_.config, jobs_[group[g]], search.running()[b].tokens),
                            options_.repetition_penalty);
      search.advance(scores.narrow(0, static_cast<std::int64_t>(g * beams_), options_.beam.beams));
      for (std::size_t b = 0; b < beams_; ++b)
        sources[g * beams_ + b] = static_cast<std::int64_t>(g * beams_) + search.running()[b].source;
      going = going || !search.done();
    }
    return going;
  }

  const ModelWeights& weights_;
  const ActiveAdapters& adapters_;
  std::span<const GenerateJob> jobs_;
  const GenerateOptions& options_;
  blocks::BlockContext context_;
  std::size_t beams_;
  std::vector<std::vector<std::int32_t>> answers_;
  std::int64_t done_ = 0;
};

/// Work on the queue of jobs with a fixed number of slots.
class Generator {
 public:
  Generator(const ModelWeights& weights, const ActiveAdapters& adapters, std::span<const GenerateJob> jobs,
            const GenerateOptions& options)
      : weights_(weights),
        adapters_(adapters),
        jobs_(jobs),
        options_(options),
        context_{.backend = options.backend, .dropout = nullptr},
        slots_(static_cast<std::size_t>(
            std::clamp<std::int64_t>(options.slots, 1, static_cast<std::int64_t>(jobs.size())))),
        decoder_(weights, decoder_size(jobs, adapters, static_cast<std::int64_t>(slots_.size())), context_),
        answers_(jobs.size()) {}

  std::vector<std::vector<std::int32_t>> run() {
    while (true) {
      if (next_ < jobs_.size() && worth_refilling()) refill();
      if (active_ > 0)
        decode();
      else if (next_ >= jobs_.size())
        return std::move(answers_);
    }
  }

 private:
  struct Slot {
    std::optional<std::size_t> job;
    std::int64_t token = 0;                ///< fed next
    std::optional<RandomStream> random{};  ///< of the job, when tokens are drawn
  };

  /// A prefill of several prompts is cheaper than several of one: wait until a quarter of the slots are free.
  bool worth_refilling() const {
    return active_ == 0 || slots_.size() - active_ >= std::max<std::size_t>(slots_.size() / 4, 1);
  }

  void refill() {
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::int64_t> slots, jobs;
    for (std::size_t s = 0; s < slots_.size() && next_ < jobs_.size(); ++s) {
      if (slots_[s].job) continue;
      while (next_ < jobs_.size() && jobs_[next_].max_new_tokens <= 0) finish(next_++);
      if (next_ == jobs_.size()) break;
      prompts.push_back(jobs_[next_].prompt);
      slots.push_back(static_cast<std::int64_t>(s));
      jobs.push_back(static_cast<std::int64_t>(next_));
      slots_[s] = {.job = next_};
      if (const auto& sampling = options_.sampling)
        slots_[s].random.emplace(sampling->seed,
                                 fmt::format("{}/{}", sampling->stream, digest_of(jobs_[next_].prompt)));
      ++next_;
      ++active_;
    }
    if (prompts.empty()) return;
    accept(slots, decoder_.start(prompts, adapters_for_jobs(adapters_, jobs), slots));
    slots_changed_ = true;
  }

  void decode() {
    std::vector<std::int64_t> slots, tokens;
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      if (!slots_[s].job) continue;
      slots.push_back(static_cast<std::int64_t>(s));
      tokens.push_back(slots_[s].token);
    }
    if (slots_changed_) {
      std::vector<std::int64_t> jobs;
      for (const std::int64_t s : slots)
        jobs.push_back(static_cast<std::int64_t>(*slots_[static_cast<std::size_t>(s)].job));
      decode_adapters_ = adapters_for_jobs(adapters_, jobs);
      decode_adapters_.prefix = at::Tensor();
      slots_changed_ = false;
    }
    accept(slots, decoder_.step(tokens, decode_adapters_, slots));
  }

  void accept(std::span<const std::int64_t> slots, const at::Tensor& logits) {
    std::vector<std::int32_t> likeliest;
    at::Tensor scores;
    if (plain())
      likeliest = blocks::likeliest_of_rows(logits, context_);
    else
      scores = logits.to(at::kFloat).contiguous();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      Slot& slot = slots_[static_cast<std::size_t>(slots[i])];
      const std::size_t index = *slot.job;
      const GenerateJob& job = jobs_[index];
      slot.token = plain() ? likeliest[i] : choose(scores, i, slot);
      answers_[index].push_back(static_cast<std::int32_t>(slot.token));
      if (!stops(options_, job, index, answers_[index]) &&
          static_cast<std::int64_t>(answers_[index].size()) < job.max_new_tokens)
        continue;
      slot.job.reset();
      --active_;
      slots_changed_ = true;
      finish(index);
    }
  }

  /// Whether the likeliest token is always the next.
  bool plain() const { return !options_.sampling && options_.repetition_penalty == 1; }

  /// The next token of a slot by row i of the scores, which it may change.
  std::int64_t choose(const at::Tensor& scores, std::size_t i, Slot& slot) const {
    const auto vocabulary = static_cast<std::size_t>(scores.size(1));
    const std::span<float> row(scores.data_ptr<float>() + i * vocabulary, vocabulary);
    penalise_repetition(row, decoder_history(weights_.config, jobs_[*slot.job], answers_[*slot.job]),
                        options_.repetition_penalty);
    return options_.sampling ? draw(row, *options_.sampling, *slot.random) : likeliest(row);
  }

  void finish(std::size_t) {
    ++done_;
    if (options_.progress) options_.progress(done_);
  }

  const ModelWeights& weights_;
  const ActiveAdapters& adapters_;
  std::span<const GenerateJob> jobs_;
  const GenerateOptions& options_;
  blocks::BlockContext context_;
  std::vector<Slot> slots_;
  SlotDecoder decoder_;
  std::vector<std::vector<std::int32_t>> answers_;
  ActiveAdapters decode_adapters_;
  bool slots_changed_ = true;
  std::size_t next_ = 0, active_ = 0;
  std::int64_t done_ = 0;
};

void check_options(const GenerateOptions& options) {
  MNEME_CHECK(options.repetition_penalty > 0, "The repetition penalty is {}; expected > 0", options.repetition_penalty);
  MNEME_CHECK(options.beam.beams >= 1, "{} beams were asked for; expected at least 1", options.beam.beams);
  if (!options.sampling) return;
  MNEME_CHECK(options.beam.beams == 1, "Tokens are drawn or searched by {} beams, not both", options.beam.beams);
  MNEME_CHECK(options.sampling->temperature > 0, "The temperature is {}; expected > 0", options.sampling->temperature);
  MNEME_CHECK(options.sampling->top_p > 0 && options.sampling->top_p <= 1, "top_p is {}; expected 0 < p <= 1",
              options.sampling->top_p);
}

}  // namespace

std::vector<std::vector<std::int32_t>> generate(const Transformer& model, const ActiveAdapters& adapters,
                                                std::span<const GenerateJob> jobs, const GenerateOptions& options) {
  if (jobs.empty()) return {};
  for (std::size_t i = 0; i < jobs.size(); ++i)
    MNEME_CHECK(!jobs[i].prompt.empty(), "Job {} of {} to generate from has an empty prompt", i, jobs.size());
  check_options(options);
  const c10::NoGradGuard no_grad;
  std::unique_ptr<ModelWeights> scratch;
  const ModelWeights& weights = Weights::of(model, scratch);
  check_adapters(weights, adapters);
  const ActiveAdapters placed = adapters_on(adapters, weights.device);
  if (options.beam.beams > 1) return BeamGenerator(weights, placed, jobs, options).run();
  return Generator(weights, placed, jobs, options).run();
}

}  // namespace mneme::model
