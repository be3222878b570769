#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/safetensors.h"
#include "core/model/transformer.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::model;
using namespace mneme::model::test;
namespace fs = std::filesystem;

TEST_CASE("a saved model is loaded with the same losses", "[transformer]") {
  const mneme::test::TemporaryDirectory directory;
  const auto model = lively_model();
  const PackedBatch batch = small_batch();
  const at::Tensor losses = model->forward({.batch = &batch, .want_losses = true}).losses;
  model->save(directory.path(), at::kFloat);
  const auto loaded = Transformer::load(directory.path(), at::kFloat);
  CHECK(at::equal(loaded->forward({.batch = &batch, .want_losses = true}).losses, losses));
  model->save(directory.path(), at::kBFloat16);
  const auto rounded = Transformer::load(directory.path(), at::kFloat);
  CHECK(relative_error(rounded->forward({.batch = &batch, .want_losses = true}).losses, losses) < 0.05);
  CHECK(relative_error(
            Transformer::load(directory.path(), at::kBFloat16)->forward({.batch = &batch, .want_losses = true}).losses,
            losses) < 0.05);
}

TEST_CASE("a sharded checkpoint is loaded", "[transformer]") {
  const mneme::test::TemporaryDirectory directory;
  const auto model = lively_model();
  model->save(directory.path(), at::kFloat);
  fs::remove(directory.path() / "model.safetensors");
  std::vector<std::pair<std::string, at::Tensor>> shards[2];
  std::string map;
  for (const auto& weight : model->weights()) {
    const std::size_t shard = shards[0].size() > shards[1].size() ? 1 : 0;
    shards[shard].push_back(weight);
    map += fmt::format("{}\"{}\":\"part{}.safetensors\"", map.empty() ? "" : ",", weight.first, shard);
  }
  for (int i : {0, 1}) write_safetensors(directory.path() / fmt::format("part{}.safetensors", i), shards[i]);
  const fs::path index = directory.path() / "model.safetensors.index.json";
  write_file_atomically(index, "{\"weight_map\":{" + map + "}}");
  const PackedBatch batch = small_batch();
  CHECK(
      at::equal(Transformer::load(directory.path(), at::kFloat)->forward({.batch = &batch, .want_losses = true}).losses,
                model->forward({.batch = &batch, .want_losses = true}).losses));
  write_file_atomically(index, R"({"weight_map":{"a":"../part0.safetensors"}})");
  CHECK_THROWS_WITH(Transformer::load(directory.path(), at::kFloat),
                    Catch::Contains("expected a name without a directory"));
  fs::remove(index);
  CHECK_THROWS_WITH(Transformer::load(directory.path(), at::kFloat), Catch::Contains("none of model.safetensors,"));
}

TEST_CASE("everything that does not fit a checkpoint is listed at once", "[transformer]") {
  const mneme::test::TemporaryDirectory directory;
  const auto model = lively_model();
  model->save(directory.path(), at::kFloat);
  auto weights = model->weights();
  weights[0].second = at::zeros({53, 41});
  weights[3].first = "model.layers.0.self_attn.k_proj.wait";
  weights.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", at::zeros({6}));
  write_safetensors(directory.path() / "model.safetensors", weights);
  try {
    Transformer::load(directory.path(), at::kFloat);
    FAIL("the checkpoint was accepted");
  } catch (const Error& e) {
    CHECK_THAT(e.what(), Catch::Contains("wrong shape: 'model.embed_tokens.weight' is [53, 41], expected [53, 40]"));
    CHECK_THAT(e.what(), Catch::Contains("missing: 'model.layers.0.self_attn.k_proj.weight' [24, 40]"));
    CHECK_THAT(e.what(), Catch::Contains("unexpected: 'model.layers.0.self_attn.k_proj.wait'"));
    CHECK_THAT(e.what(), !Catch::Contains("inv_freq"));
  }
}
