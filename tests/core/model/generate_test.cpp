#include "core/model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

using namespace mneme::model;
using namespace mneme::model::test;

namespace {

std::vector<GenerateJob> make_jobs() {
  std::vector<GenerateJob> jobs;
  for (const auto& prompt : random_tokens({5, 1, 40, 12, 7, 7, 23, 2, 9}, 53, 6))
    jobs.push_back(
        {.prompt = prompt, .max_new_tokens = 3 + static_cast<std::int64_t>(jobs.size()) * 2, .stop = {11, 23}});
  return jobs;
}

/// Greedy decoding by whole forward passes.
std::vector<std::int32_t> plain_answer(const Transformer& model, const ActiveAdapters& adapters,
                                       const GenerateJob& job) {
  std::vector<std::int32_t> tokens = job.prompt, answer;
  while (static_cast<std::int64_t>(answer.size()) < job.max_new_tokens) {
    const PackedBatch batch = pack_prompts({&tokens, 1});
    const auto out =
        model.forward({.batch = &batch, .adapters = &adapters, .rows = RowsNeeded::kLast, .want_logits = true});
    answer.push_back(static_cast<std::int32_t>(out.logits.argmax().item<std::int64_t>()));
    tokens.push_back(answer.back());
    if (std::find(job.stop.begin(), job.stop.end(), answer.back()) != job.stop.end()) break;
  }
  return answer;
}

}  // namespace

TEST_CASE("generation equals decoding by whole forward passes, in any number of slots", "[generate]") {
  const auto model = lively_model();
  const ActiveAdapters adapters = random_adapter(*model, {.requires_grad = false});
  const auto jobs = make_jobs();
  std::vector<std::vector<std::int32_t>> expected;
  for (const auto& job : jobs) expected.push_back(plain_answer(*model, adapters, job));
  for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused})
    for (const std::int64_t slots : {1, 2, 4, 32}) {
      INFO(slots << " slots");
      std::int64_t done = 0;
      const auto answers = generate(
          *model, adapters, jobs, {.slots = slots, .progress = [&](std::int64_t n) { done = n; }, .backend = backend});
      CHECK(answers == expected);
      CHECK(done == static_cast<std::int64_t>(jobs.size()));
    }
}

TEST_CASE("an answer ends with a stop token or at its limit", "[generate]") {
  const auto model = lively_model();
  auto jobs = make_jobs();
  for (auto& job : jobs) job.stop = {}, job.max_new_tokens = 20;
  const auto free = generate(*model, {}, jobs, {});
  for (const auto& answer : free) CHECK(answer.size() == 20);
  for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].stop = {free[i][4]};
  const auto stopped = generate(*model, {}, jobs, {});
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto end = std::find(free[i].begin(), free[i].end(), free[i][4]) + 1;
    CHECK(stopped[i] == std::vector<std::int32_t>(free[i].begin(), end));
  }
  for (auto& job : jobs) job.max_new_tokens = 0;
  for (const auto& answer : generate(*model, {}, jobs, {})) CHECK(answer.empty());
  CHECK(generate(*model, {}, {}, {}).empty());
  jobs[2].prompt.clear();
  CHECK_THROWS_WITH(generate(*model, {}, jobs, {}), Catch::Contains("Job 2 of 9 to generate from has an empty prompt"));
}

TEST_CASE("gates and soft prompts belong to their jobs", "[generate]") {
  const auto model = lively_model();
  ActiveAdapters adapters = random_adapter(*model, {.deviation = 0.3, .requires_grad = false});
  const auto jobs = make_jobs();
  const auto with = generate(*model, adapters, jobs, {}), without = generate(*model, {}, jobs, {});
  at::Tensor gate = at::zeros({9});
  for (std::int64_t i = 0; i < 9; i += 2) gate[i] = 1;
  for (auto& group : adapters.groups)
    for (auto& delta : group) delta.gate = gate;
  const auto gated = generate(*model, adapters, jobs, {.slots = 3});
  CHECK(with != without);
  for (std::size_t i = 0; i < jobs.size(); ++i) CHECK(gated[i] == (i % 2 == 0 ? with[i] : without[i]));

  // A soft prompt made of tokens' embeddings is the same as those tokens.
  ActiveAdapters soft;
  const at::Tensor table = model->weights()[0].second;
  std::vector<GenerateJob> longer = jobs;
  std::vector<at::Tensor> prefixes;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto ids = random_tokens({3}, 53, 100 + i)[0];
    longer[i].prompt.insert(longer[i].prompt.begin(), ids.begin(), ids.end());
    prefixes.push_back(table.index_select(0, at::tensor(ids).to(at::kLong)));
  }
  soft.prefix = at::stack(prefixes);
  CHECK(generate(*model, soft, jobs, {.slots = 3}) == generate(*model, {}, longer, {.slots = 3}));
}

TEST_CASE("scores are sums of log-softmax", "[score]") {
  const auto model = lively_model();
  ActiveAdapters adapters = random_adapter(*model, {.requires_grad = false});
  const auto prompts = random_tokens({5, 31, 1, 12}, 53, 6);
  std::vector<std::vector<std::vector<std::int32_t>>> candidates{
      {{3}, {4}, {3, 5}}, {{1, 2, 3, 4}, {1}}, {}, {{7, 7}, {8, 9, 10}, {7}, {50, 50, 50, 50, 50}}};
  for (const bool gates : {false, true}) {
    if (gates)
      for (auto& group : adapters.groups)
        for (auto& delta : group) delta.gate = at::tensor({1.f, 0.5f, 0.f, -1.f});
    for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused}) {
      const auto scores = score_continuations(*model, adapters, prompts, candidates, {.slots = 3, .backend = backend});
      REQUIRE(scores.size() == prompts.size());
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        REQUIRE(scores[i].size() == candidates[i].size());
        ActiveAdapters own = adapters;
        for (auto& group : own.groups)
          for (auto& delta : group)
            if (gates) delta.gate = delta.gate.narrow(0, static_cast<std::int64_t>(i), 1);
        for (std::size_t c = 0; c < candidates[i].size(); ++c) {
          std::vector<std::int32_t> tokens = prompts[i];
          tokens.insert(tokens.end(), candidates[i][c].begin(), candidates[i][c].end());
          const PackedBatch batch = pack_all({tokens}, {static_cast<std::int64_t>(prompts[i].size())});
          const at::Tensor logits = model->forward({.batch = &batch, .adapters = &own, .want_logits = true}).logits;
          const at::Tensor logp = at::log_softmax(logits.to(at::kDouble), 1).gather(1, batch.labels.unsqueeze(1));
          CHECK(scores[i][c] == Approx(logp.sum().item<double>()).epsilon(1e-5));
        }
      }
    }
  }
  CHECK_THROWS_WITH(score_continuations(*model, {}, prompts, {}, {}),
                    Catch::Contains("4 prompts and 0 lists of candidates"));
  candidates[1][1].clear();
  CHECK_THROWS_WITH(score_continuations(*model, {}, prompts, candidates, {}),
                    Catch::Contains("Candidate 1 of prompt 1 is empty"));
}
