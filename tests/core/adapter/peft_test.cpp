#include "core/adapter/peft.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/toy.h"

using namespace mneme;
using Catch::Contains;

namespace {
struct Bench {
  std::shared_ptr<model::Transformer> model = test::toy_model();
  AdapterBank bank{model};

  AdapterId random_lora(const std::string& name, const LoraOptions& options) {
    RandomStream rng(1, name);
    const AdapterId id = bank.create_lora(name, options, rng);
    at::Tensor values = bank.values(id);
    for (std::int64_t i = 0; i < values.numel(); ++i) values.data_ptr<float>()[i] = static_cast<float>(rng.normal());
    return id;
  }
};

nlohmann::json config_of(const std::filesystem::path& directory) {
  return nlohmann::json::parse(read_file(directory / "adapter_config.json"));
}
}  // namespace

TEST_CASE("an adapter on disk has PEFT's layout", "[peft]") {
  const test::TemporaryDirectory directory("peft");
  Bench bench;
  const AdapterId id = bench.random_lora(
      "mine", {.rank = 2, .alpha = 6, .dropout = 0.1, .targets = {"q_proj", "down_proj"}, .first_layer = 0});
  write_peft(directory.path(), bench.bank, id, *bench.model, "base/model");
  const nlohmann::json config = config_of(directory.path());
  CHECK(config["peft_type"] == "LORA");
  CHECK(config["task_type"] == "CAUSAL_LM");
  CHECK(config["base_model_name_or_path"] == "base/model");
  CHECK(config["r"] == 2);
  CHECK(config["lora_alpha"] == 6);
  CHECK(config["lora_dropout"] == 0.1);
  CHECK(config["bias"] == "none");
  CHECK(config["inference_mode"] == true);
  CHECK(config["target_modules"].get<std::set<std::string>>() == std::set<std::string>{"q_proj", "down_proj"});
  const auto tensors = model::read_safetensors(directory / "adapter_model.safetensors");
  // Hidden width 16, inner width 24, two layers.
  const std::map<std::string, std::vector<std::int64_t>> expected = {{"self_attn.q_proj.lora_A", {2, 16}},
                                                                     {"self_attn.q_proj.lora_B", {16, 2}},
                                                                     {"mlp.down_proj.lora_A", {2, 24}},
                                                                     {"mlp.down_proj.lora_B", {16, 2}}};
  CHECK(tensors.size() == 8);
  for (const char* layer : {"0", "1"}) {
    for (const auto& [part, shape] : expected) {
      const std::string name = fmt::format("base_model.model.model.layers.{}.{}.weight", layer, part);
      INFO(name);
      REQUIRE(tensors.contains(name));
      CHECK(tensors.at(name).sizes().vec() == shape);
      CHECK(tensors.at(name).scalar_type() == at::kFloat);
    }
  }
  for (const ParameterView& view : bench.bank.views(id)) {
    const std::string name = "base_model.model." + view.name.substr(std::string("mine/").size()) + ".weight";
    CHECK(at::equal(tensors.at(name), view.of(bench.bank.values(id))));
  }
}

TEST_CASE("an adapter written and read is the same adapter", "[peft]") {
  const test::TemporaryDirectory directory("peft-back");
  LoraOptions upper{.rank = 3, .alpha = 5, .dropout = 0, .targets = {"all-linear"}, .first_layer = 1};
  LoraOptions patterns{.rank = 2, .alpha = 4, .dropout = 0, .targets = {"q_proj", "v_proj"}, .first_layer = 0};
  patterns.rank_pattern = {{"layers.1.self_attn.q_proj", 5}};
  patterns.alpha_pattern = {{"v_proj", 9}};
  patterns.rank_stabilised = true;
  const Batch batch = make_batch(test::toy_samples(1, 5));
  for (const LoraOptions& options : {LoraOptions{}, upper, patterns}) {
    Bench bench, other;
    const AdapterId id = bench.random_lora("mine", options);
    write_peft(directory.path(), bench.bank, id, *bench.model, "base");
    const AdapterId read = read_peft(directory.path(), other.bank, *other.model, "theirs");
    CHECK(other.bank.name(read) == "theirs");
    CHECK(other.bank.values(read).numel() == bench.bank.values(id).numel());
    const auto logits = [&batch](const Bench& b, AdapterId adapter) {
      const model::ActiveAdapters adapters = b.bank.resolve(with_adapters({adapter}));
      model::ForwardRequest request;
      request.batch = &batch.packed;
      request.adapters = &adapters;
      request.want_logits = true;
      return b.model->forward(request).logits;
    };
    CHECK(at::equal(logits(bench, id), logits(other, read)));
  }
}

TEST_CASE("what has no PEFT form, and an adapter of another model, are refused", "[peft]") {
  const test::TemporaryDirectory directory("peft-bad");
  Bench bench;
  const AdapterId sparse = bench.bank.create_sparse("sparse", {{0, at::tensor({1L})}});
  CHECK_THROWS_WITH(write_peft(directory / "none", bench.bank, sparse, *bench.model, "base"), Contains("'sparse'"));
  CHECK_FALSE(std::filesystem::exists(directory / "none"));
  const AdapterId id = bench.random_lora("mine", LoraOptions{});
  write_peft(directory / "good", bench.bank, id, *bench.model, "base");
  model::TransformerConfig wider = bench.model->config();
  wider.intermediate_size = 32;
  wider.num_hidden_layers = 3;
  RandomStream rng(1, "wider");
  const std::shared_ptr<model::Transformer> model = model::Transformer::random(wider, at::kFloat, rng);
  AdapterBank bank(model);
  CHECK_THROWS_WITH(read_peft(directory / "good", bank, *model, "theirs"), Contains("missing") && Contains("layers.2"));
  CHECK(bank.ids().empty());
}

TEST_CASE("a damaged adapter_config.json is refused by the field", "[peft]") {
  const test::TemporaryDirectory directory("peft-damaged");
  Bench bench;
  write_peft(directory.path(), bench.bank, bench.random_lora("mine", LoraOptions{}), *bench.model, "base");
  const auto file = directory / "adapter_config.json";
  const nlohmann::json good = nlohmann::json::parse(read_file(file));
  const auto refused = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json config = good;
    value.is_discarded() ? void(config.erase(key)) : void(config[key] = value);
    write_file_atomically(file, config.dump());
    const std::size_t adapters = bench.bank.ids().size();
    std::string message = "accepted";
    try {
      read_peft(directory.path(), bench.bank, *bench.model, "again");
    } catch (const Error& e) {
      message = e.what();
    }
    CHECK(bench.bank.ids().size() == adapters);
    return message;
  };
  const nlohmann::json missing(nlohmann::json::value_t::discarded);
  CHECK_THAT(refused("peft_type", missing),
             Contains("adapter_config.json: field 'peft_type' is missing; supported are"));
  CHECK_THAT(refused("target_modules", missing), Contains("field 'target_modules' is missing; expected names"));
  CHECK_THAT(refused("r", 1 << 17), Contains("field 'r' is 131072; expected 1 to 65536"));
  // A rank that the file of weights does not have costs no memory: it is compared before anything is made.
  CHECK_THAT(refused("r", 65536), Contains("wrong shape or type") && Contains("expected floating point [65536, "));
  CHECK_THAT(refused("rank_pattern", {{"q_proj", 1e300}}), Contains("'rank_pattern'") && Contains("whole numbers"));
  CHECK_THAT(refused("rank_pattern", {{"q_proj", 0}}), Contains("expected ranks of 1 to"));
  CHECK_THAT(refused("target_modules", "("), Contains("adapter_config.json") && Contains("is no regular expression"));
  write_file_atomically(file, good.dump().substr(0, 40));
  CHECK_THROWS_WITH(read_peft(directory.path(), bench.bank, *bench.model, "cut"), Contains("is not JSON (cut off"));
}
