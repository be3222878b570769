// Every file in experiments/: it composes, its options are known, its plugins and streams exist.
#include <algorithm>

#include "core/config/compose.h"
#include "core/config/plan.h"
#include "core/data/stream_config.h"
#include "core/run/options.h"
#include "core/run/pretrain.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::run;
namespace fs = std::filesystem;

namespace {
const fs::path kExperiments = fs::path(MNEME_SOURCE_DIR) / "experiments";

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

bool is_pretraining(const fs::path& file) { return file.stem().string().starts_with("pretrain_"); }

config::Request request_for(const fs::path& file) {
  config::Request request;
  request.file = file;
  request.search_path = {{kExperiments / "conf", ""}};
  for (const auto& entry : fs::directory_iterator(fs::path(MNEME_SOURCE_DIR) / "benchmarks"))
    if (entry.is_directory()) request.search_path.push_back({entry.path(), "stream"});
  request.search_path.push_back({fs::path(MNEME_BINARY_DIR) / "lib/mneme/strategies", "strategy"});
  request.overrides = {is_pretraining(file) ? "output=somewhere" : "model.path=nano"};
  return request;
}

/// What the first run with these settings of a strategy is told.
struct Told {
  RunOptions options;
  Params strategy;
  config::Node stream;
};
Told told(const std::string& file, const std::string& settings) {
  for (const auto& run : config::plan(request_for(kExperiments / file)).runs) {
    if (std::ranges::find(run.overrides, "strategy=" + settings) == run.overrides.end()) continue;
    const RunOptions options = read_options(run.resolved);
    return {options, strategy_params(test::built_plugins().load(options.strategy).parameters(), options.strategy_node),
            options.stream_node};
  }
  throw std::runtime_error(file + " has no run of " + settings);
}
}  // namespace

TEST_CASE("every experiment composes to runs that could start", "[experiments]") {
  auto files = files_in(kExperiments);
  const auto papers = files_in(kExperiments / "papers");
  files.insert(files.end(), papers.begin(), papers.end());
  REQUIRE(files.size() >= 12);
  for (const fs::path& file : files) {
    INFO(file.filename().string());
    const auto request = request_for(file);
    if (is_pretraining(file)) {
      CHECK_NOTHROW(read_pretrain_options(config::resolve(config::compose(request).config)));
      continue;
    }
    const config::Plan plan = config::plan(request);
    CHECK(plan.warnings.empty());
    CHECK(plan.runs.size() > 1);
    for (const auto& run : plan.runs) {
      INFO("run " << run.index);
      const RunOptions options = read_options(run.resolved);
      const PluginDescriptor& plugin = test::built_plugins().load(options.strategy);
      CHECK_NOTHROW(plugin::create_strategy(plugin, strategy_params(plugin.parameters(), options.strategy_node)));
      if (options.stream_node.at("kind").as_string() == "mini8")
        CHECK_NOTHROW(data::mini8_options(options.stream_node));
      else
        CHECK(data::stream_options(options.stream_node).tasks.size() >= 4);
    }
  }
}

// Published constants, written down a second time.
TEST_CASE("the paper of I-LoRA: five epochs of a rank 8 on queries and values, 500 samples", "[experiments]") {
  const auto [o, p, stream] = told("papers/ilora.yaml", "ilora");
  CHECK(o.adapter.lora.rank == 8);
  CHECK(o.adapter.lora.alpha == 16);
  CHECK(o.adapter.lora.dropout == 0.05);
  CHECK(o.adapter.lora.targets == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(o.train.epochs == 5);
  CHECK(o.train.learning_rate == 1e-4);
  CHECK(o.train.warmup_ratio == 0.2);
  CHECK(o.train.batch_size == 4);
  CHECK(o.max_length == 512);
  CHECK(stream.at("max_train").as_int() == 5000);
  CHECK(p.integer("capacity") == 500);
  CHECK(p.real("gamma") == 1);
}

TEST_CASE("the paper of KIF: second order by rank, soft at a temperature of a quarter", "[experiments]") {
  const auto [o, p, stream] = told("papers/kif.yaml", "kif");
  CHECK(o.adapter.lora.rank == 8);
  CHECK(o.adapter.lora.alpha == 16);
  CHECK(o.adapter.lora.dropout == 0.05);
  CHECK(o.train.learning_rate == 3e-4);
  CHECK(o.train.warmup_steps == 50);
  CHECK(o.train.epochs == 5);
  CHECK(o.train.batch_size == 8);
  CHECK(o.max_length == 1024);
  CHECK(o.train.optimizer_reset == "per_task");
  CHECK(p.real("sensitivity_decay") == 0.85);
  CHECK(p.real("uncertainty_decay") == 0.85);
  CHECK(p.real("beta") == 0.7);
  CHECK(p.real("tau") == 0.25);
  CHECK(p.real("orthogonality") == 0.1);
  CHECK(p.choice("importance") == "second_order");
}

TEST_CASE("the paper of TaSL: all weights by matrix, first order, hard at the top fifth", "[experiments]") {
  const auto [o, p, stream] = told("papers/tasl.yaml", "tasl");
  CHECK(o.adapter.kind == "full");
  CHECK(o.max_length == 512);
  CHECK(o.train.epochs == 5);
  CHECK(o.train.batch_size == 8);
  CHECK(p.choice("units") == "matrix");
  CHECK(p.choice("importance") == "first_order");
  CHECK(p.choice("fusion") == "hard");
  CHECK(p.real("quantile") == 0.8);
  CHECK(p.real("shared_keep") == 0.7);
}

TEST_CASE("the paper of ASR: four shared layers, 10,000 features, ten epochs", "[experiments]") {
  const auto [o, p, stream] = told("papers/asr.yaml", "asr");
  CHECK(o.adapter.lora.rank == 8);
  CHECK(o.adapter.lora.alpha == 32);
  CHECK(o.adapter.lora.dropout == 0.1);
  CHECK(o.train.epochs == 10);
  CHECK(o.train.batch_size == 8);
  CHECK(o.train.learning_rate == 1e-4);
  CHECK(o.train.schedule == "cosine");
  CHECK(o.train.weight_decay == 0);
  CHECK(o.max_length == 1536);
  CHECK(o.max_answer == 512);
  CHECK(p.integer("shared_layers") == 4);
  CHECK(p.integer("width") == 10000);
  CHECK(p.real("lambda") == 100);
  CHECK(p.choice("features") == "random_relu");
}

TEST_CASE("the reconstruction of SETA: a hundredth of the units, anchors of 100", "[experiments]") {
  const auto [o, p, stream] = told("papers/seta.yaml", "seta");
  CHECK(o.train.learning_rate == 3e-4);
  CHECK(o.adapter.lora.targets == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(p.real("density") == 0.01);
  CHECK(p.real("least_overlap") == 0.01);
  CHECK(p.integer("most_experts") == 32);
  CHECK(p.real("lambda") == 100);
  CHECK(p.integer("calibration_batches") == 64);
  CHECK(p.integer("fisher_samples") == 512);
}
