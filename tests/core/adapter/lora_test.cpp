#include "core/adapter/lora.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/pattern.h"
#include "tests/support/catch.h"

using namespace mneme;

namespace {

/// Two layers of q, k, v in attention and one in a feed-forward part.
std::vector<model::LinearInfo> linears() {
  std::vector<model::LinearInfo> all;
  for (std::int64_t layer = 0; layer < 2; ++layer)
    for (const char* part : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.v_proj"})
      all.push_back({.name = "model.layers." + std::to_string(layer) + "." + part,
                     .layer = layer,
                     .in = 8,
                     .out = 4,
                     .group = layer,
                     .first_column = 0});
  return all;
}

std::vector<std::int64_t> chosen(const LoraOptions& options) {
  std::vector<std::int64_t> indices;
  for (const LoraTarget& target : lora_targets(options, linears())) indices.push_back(target.linear);
  return indices;
}

using Indices = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("targets are ends of paths, patterns of whole paths, or all", "[lora]") {
  CHECK(chosen({.targets = {"v_proj"}}) == Indices{2, 3, 6, 7});
  CHECK(chosen({.targets = {"self_attn.v_proj"}}) == Indices{2, 6});
  CHECK(chosen({.targets = {"model.layers.1.mlp.v_proj"}}) == Indices{7});
  CHECK(chosen({.targets = {".*\\.(q|k)_proj"}}) == Indices{0, 1, 4, 5});
  CHECK(chosen({.targets = {"model\\.layers\\.[1-9]\\..*"}}) == Indices{4, 5, 6, 7});
  CHECK(chosen({.targets = {"all-linear"}}).size() == 8);
  CHECK(chosen({.targets = {"q_proj", "mlp.v_proj"}, .first_layer = 1}) == Indices{4, 7});
}

TEST_CASE("a target that names nothing is an error with the nearest name", "[lora]") {
  CHECK_THROWS_WITH(chosen({.targets = {"q_prj"}}),
                    Catch::Contains("'q_prj' names no linear") && Catch::Contains("q_proj"));
  // A pattern must match the whole path, and the end of a name is no end of a path.
  CHECK_THROWS_WITH(chosen({.targets = {"(q|k)_proj"}}), Catch::Contains("names no linear"));
  CHECK_THROWS_WITH(chosen({.targets = {"proj"}}), Catch::Contains("names no linear"));
  CHECK_THROWS_WITH(chosen({.targets = {"(q"}}), Catch::Contains("'(q' is no regular expression"));
}

TEST_CASE("rank, alpha and scale follow their patterns", "[lora]") {
  const auto targets = lora_targets({.rank = 4,
                                     .alpha = 8,
                                     .targets = {"all-linear"},
                                     .rank_pattern = {{"mlp.v_proj", 16}, {"layers.0.self_attn.q_proj", 2}},
                                     .alpha_pattern = {{"self_attn\\..*", 6}}},
                                    linears());
  CHECK(targets[0].rank == 2);
  CHECK(targets[0].scale == 3);
  CHECK(targets[1].rank == 4);
  CHECK(targets[1].scale == 1.5);
  CHECK(targets[3].rank == 16);
  CHECK(targets[3].scale == 0.5);
  const auto stable = lora_targets({.rank = 16, .alpha = 8, .targets = {"q_proj"}, .rank_stabilised = true}, linears());
  CHECK(stable[0].scale == 2);
  CHECK_THROWS_WITH(lora_targets({.targets = {"q_proj"}, .rank_pattern = {{"q_proj", 0}}}, linears()),
                    Catch::Contains("the rank of model.layers.0.self_attn.q_proj is 0"));
}

TEST_CASE("a pattern that would take for ever is an error", "[lora]") {
  CHECK_THROWS_AS(Pattern("(a|aa)+").matches_whole(std::string(64, 'a') + "c"), Error);
  CHECK(Pattern("a.c").matches_whole("abc"));
  CHECK_FALSE(Pattern("a.c").matches_whole("abcd"));
}
