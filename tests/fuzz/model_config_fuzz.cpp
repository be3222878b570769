// libFuzzer target for the JSON files beside a model's and an adapter's weights. The first byte chooses the file; only
// Error may leave a reader, and a config that is taken can be counted, written and read again.
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "core/adapter/peft_config.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/architecture.h"
#include "core/model/config.h"

using namespace mneme;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPlain =
    R"({"model_type": "llama", "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2,
  "intermediate_size": 40, "num_attention_heads": 4})";

struct Directory {
  fs::path path = fs::temp_directory_path() / "mneme_fuzz_XXXXXX";
  Directory() {
    std::string name = path.string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
  }
  ~Directory() { fs::remove_all(path); }
};

/// Sizes multiply without overflow, which the sanitizer watches.
std::int64_t elements(const model::TransformerConfig& config) {
  std::int64_t count = 0;
  for (const auto& [name, shape] : model::weight_shapes(config)) {
    std::int64_t n = 1;
    for (const std::int64_t size : shape) n *= size;
    count += n;
  }
  return count;
}

void use(const fs::path& file) {
  const model::TransformerConfig config = model::read_config(file);
  if (config.num_hidden_layers + config.num_decoder_layers > 16) return;  // the same again, slowly
  if (elements(config) <= 0) std::abort();
  fs::remove(file.parent_path() / "generation_config.json");
  model::write_config(config, file);
  if (elements(model::read_config(file)) != elements(config)) std::abort();
}

void use_adapter(const fs::path& file) {
  const PeftConfig config = read_peft_config(file);
  if (!config.lora) return;
  const std::vector<model::LinearInfo> linears = {
      {.name = "model.layers.0.self_attn.q_proj", .layer = 0, .in = 32, .out = 32, .group = 0, .first_column = 0},
      {.name = "encoder.block.1.layer.0.SelfAttention.v",
       .layer = 1,
       .in = 32,
       .out = 32,
       .group = 0,
       .first_column = 0}};
  lora_targets(*config.lora, linears);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const Directory directory;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const fs::path config = directory.path / "config.json", generation = directory.path / "generation_config.json",
                 adapter = directory.path / "adapter_config.json";
  fs::remove(generation);
  try {
    switch (data[0] % 3) {
      case 0:
        write_file_atomically(config, text);
        use(config);
        break;
      case 1:
        write_file_atomically(config, kPlain);
        write_file_atomically(generation, text);
        use(config);
        break;
      default:
        write_file_atomically(adapter, text);
        use_adapter(adapter);
        break;
    }
  } catch (const Error&) {
  }
  return 0;
}
