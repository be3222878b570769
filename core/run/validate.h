#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "core/data/stream_check.h"
#include "core/model/config.h"
#include "core/plugin/loader.h"
#include "core/run/options.h"
#include "core/text/tokenizer.h"

namespace mneme::run {

/// What a run will take, as far as it can be told before it starts: amounts that are in proportion to time, memory and
/// disk for runs of one family. A launcher learns the proportions from finished runs.
struct Forecast {
  std::string strategy;
  std::string family;     ///< model, its dtype, kind of adapter
  double train_work = 0;  ///< floating-point operations of training
  double eval_work = 0;   ///< of the rows of R after training
  double first_work = 0;  ///< of row 0, before any training
  std::int64_t memory_bytes = 0;
  bool recompute = false;  ///< whether activations are computed again, see foresee_memory()
  std::int64_t disk_bytes = 0;
};

/// Finds whatever can be found wrong with runs before one of them starts: options, the plugin and its settings, the
/// model directory, every row of the data. Loads no weights. What runs share is looked at once.
class Validator {
 public:
  /// \param good_data file that remembers which data was found good, see data::StreamChecker; "" for none.
  Validator(plugin::PluginRegistry& plugins, std::filesystem::path good_data);

  /// Throws the first Error.
  Forecast check(const config::Node& resolved);

  /// Remembers the data that was found good.
  void save() const { streams_.save(); }

 private:
  struct Model {
    model::TransformerConfig config;
    std::int64_t parameters = 0;
    std::unique_ptr<text::Tokenizer> tokenizer;
    std::map<std::string, double> densities{};  ///< bytes of text per token, by specimen
  };
  Model& model(const ModelOptions& options);

  plugin::PluginRegistry& plugins_;
  data::StreamChecker streams_;
  std::map<std::filesystem::path, Model> models_;
  std::int64_t memory_limit_;
};

}  // namespace mneme::run
