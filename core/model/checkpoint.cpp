#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <array>
#include <filesystem>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/safetensors.h"
#include "core/model/torch_archive.h"
#include "core/model/transformer.h"
#include "core/model/transformer_parts.h"
#include "core/text/json_fields.h"

namespace mneme::model {
namespace fs = std::filesystem;
namespace {

/// Files of a sharded checkpoint, in the order of their names.
std::set<std::string> shard_names(const fs::path& index) {
  const text::Json json = text::parse_json_object(read_file(index), index.string());
  if (!json.contains("weight_map") || !json.at("weight_map").is_object())
    throw Error(fmt::format("{}: expected an object with a 'weight_map'", index.string()));
  std::set<std::string> names;
  for (const auto& [tensor, file] : json.at("weight_map").items()) {
    if (!file.is_string()) throw Error(fmt::format("{}: the file of '{}' is not a text", index.string(), tensor));
    const std::string name = file.get<std::string>();
    if (name.empty() || fs::path(name).filename() != name || name == "..")
      throw Error(fmt::format("{}: the file of '{}' is '{}'; expected a name without a directory", index.string(),
                              tensor, name));
    names.insert(name);
  }
  return names;
}

using Reader = std::map<std::string, at::Tensor> (*)(const fs::path&);

/// A form of checkpoint: one file, or shards that an index names.
struct Form {
  const char* single;
  const char* index;
  Reader read;
};
constexpr std::array<Form, 2> kForms{{{"model.safetensors", "model.safetensors.index.json", read_safetensors},
                                      {"pytorch_model.bin", "pytorch_model.bin.index.json", read_torch_archive}}};

std::map<std::string, at::Tensor> read_tensors(const fs::path& directory) {
  for (const Form& form : kForms) {
    if (fs::exists(directory / form.single)) return form.read(directory / form.single);
    if (!fs::exists(directory / form.index)) continue;
    std::map<std::string, at::Tensor> all;
    for (const std::string& name : shard_names(directory / form.index))
      for (auto& [tensor, value] : form.read(directory / name))
        if (!all.emplace(tensor, value).second)
          throw Error(fmt::format("{}: tensor '{}' is in two files of the checkpoint", directory.string(), tensor));
    return all;
  }
  throw Error(
      fmt::format("{}: none of model.safetensors, model.safetensors.index.json, pytorch_model.bin and "
                  "pytorch_model.bin.index.json is there; expected a model directory in the form of Hugging Face",
                  directory.string()));
}

/// Further names of the embedding, which files repeat.
constexpr std::array kEmbeddingCopies = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};

bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && at::equal(a, b);
}

/// As transformers does: a head in the file of a model with tied embeddings is used where it differs from them, and one
/// of the two is enough. Changes the config to what the file holds.
void settle_tied(TransformerConfig& config, std::map<std::string, at::Tensor>& found) {
  const Architecture names = architecture(config);
  for (const char* copy : kEmbeddingCopies) {
    const auto it = config.encoder_decoder() ? found.find(copy) : found.end();
    if (it == found.end()) continue;
    const auto [embedding, added] = found.try_emplace(names.embedding, it->second);
    if (added || same(embedding->second, it->second)) found.erase(it);
  }
  if (!config.tie_word_embeddings) return;
  const auto head = found.find(names.head);
  if (head == found.end()) return;
  const auto [embedding, added] = found.try_emplace(names.embedding, head->second);
  config.tie_word_embeddings = added || same(embedding->second, head->second);
  if (config.tie_word_embeddings) found.erase(head);
}

/// What old checkpoints hold and nothing reads: buffers, and a table of position biases in the T5s that came from Mesh
/// TensorFlow, whose cross-attention has none.
bool ignored(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") ||
         name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
}

/// Everything that does not fit, one line each.
std::vector<std::string> differences(const TransformerConfig& config, const std::map<std::string, at::Tensor>& found) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  for (const auto& [name, shape] : weight_shapes(config)) {
    known.insert(name);
    const auto it = found.find(name);
    if (it == found.end()) {
      lines.push_back(fmt::format("missing: '{}' [{}]", name, fmt::join(shape, ", ")));
    } else if (it->second.sizes() != shape) {
      lines.push_back(fmt::format("wrong shape: '{}' is [{}], expected [{}]", name,
                                  fmt::join(it->second.sizes().vec(), ", "), fmt::join(shape, ", ")));
    } else if (!it->second.is_floating_point()) {
      lines.push_back(fmt::format("wrong type: '{}' is {}, expected floating point", name,
                                  c10::toString(it->second.scalar_type())));
    }
  }
  for (const auto& [name, tensor] : found)
    if (!known.contains(name) && !ignored(name)) lines.push_back(fmt::format("unexpected: '{}'", name));
  return lines;
}

}  // namespace

std::unique_ptr<Transformer> Transformer::load(const fs::path& directory, c10::ScalarType dtype, c10::Device device,
                                               MatmulPrecision precision) {
  TransformerConfig config = read_config(directory / "config.json");
  std::map<std::string, at::Tensor> found = read_tensors(directory);
  settle_tied(config, found);
  const std::vector<std::string> wrong = differences(config, found);
  if (!wrong.empty())
    throw Error(
        fmt::format("{}: the weights do not fit config.json:\n  {}", directory.string(), fmt::join(wrong, "\n  ")));
  return std::unique_ptr<Transformer>(
      new Transformer(std::make_unique<Parts>(Parts{make_weights(config, dtype, device, precision, found), {}})));
}

void Transformer::save(const fs::path& directory, c10::ScalarType dtype) const {
  fs::create_directories(directory);
  std::vector<std::pair<std::string, at::Tensor>> converted;
  for (const auto& [name, tensor] : weights()) converted.emplace_back(name, tensor.detach().to(dtype));
  write_safetensors(directory / "model.safetensors", converted, {{"format", "pt"}});
  write_config(config(), directory / "config.json");
}

}  // namespace mneme::model
