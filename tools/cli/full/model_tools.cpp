#include "tools/cli/full/model_tools.h"

#include <fmt/format.h>

#include <boost/algorithm/string.hpp>
#include <cstdlib>

#include "core/adapter/peft.h"
#include "core/base/error.h"
#include "core/run/build.h"

namespace mneme::cli {

LoraOptions lora_of(const ModelSettings& settings) {
  LoraOptions lora{.rank = settings.rank};
  lora.targets.clear();
  boost::split(lora.targets, settings.targets, boost::is_any_of(","));
  return lora;
}

std::vector<std::int32_t> read_ids(const std::string& option, const std::string& text, std::int64_t vocabulary) {
  std::vector<std::int32_t> ids;
  std::vector<std::string> parts;
  boost::split(parts, text, boost::is_any_of(", "), boost::token_compress_on);
  for (const std::string& part : parts) {
    char* end = nullptr;
    const long id = std::strtol(part.c_str(), &end, 10);
    if (part.empty() || *end != '\0' || id < 0 || id >= vocabulary)
      throw UsageError(fmt::format("{}: '{}' is no token id of a vocabulary of {}", option, part, vocabulary));
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

std::filesystem::path model_directory_of(const std::string& name) { return run::model_directory({.path = name}); }

LoadedModel::LoadedModel(const ModelSettings& settings)
    : directory(model_directory_of(settings.names.at(1))),
      model(run::build_model({.path = directory,
                              .dtype = settings.dtype,
                              .device = settings.device,
                              .matmul_precision = settings.matmul_precision})),
      bank(model) {
  if (!settings.adapter.empty()) adapter = read_peft(settings.adapter, bank, *model, "adapter");
}

model::ActiveAdapters LoadedModel::active() const {
  return adapter ? bank.resolve(with_adapters({*adapter})) : model::ActiveAdapters{};
}

const text::Tokenizer& LoadedModel::tokenizer() {
  if (!tokenizer_) tokenizer_ = text::load_tokenizer(directory);
  return *tokenizer_;
}

data::SequenceForm LoadedModel::form() { return run::sequence_form(tokenizer(), {.path = directory}); }

}  // namespace mneme::cli
