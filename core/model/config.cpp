#include "core/model/config.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::model {
namespace {

using Json = nlohmann::json;

/// Reads fields of one JSON object; errors name file and field.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }
  const Json& at(const char* key) const { return object_.at(key); }
  const std::string& where() const { return where_; }

  [[noreturn]] void refuse(const char* key, const std::string& expected) const {
    throw Error(fmt::format("{}: field '{}' is {}; {}", where_, key, object_.at(key).dump(), expected));
  }

  std::int64_t integer(const char* key) const {
    if (!has(key)) throw Error(fmt::format("{}: field '{}' is missing; expected an integer", where_, key));
    if (!at(key).is_number_integer()) refuse(key, "expected an integer");
    if (at(key).is_number_unsigned() && at(key).get<std::uint64_t>() > (1ULL << 62)) refuse(key, "this is too large");
    return at(key).get<std::int64_t>();
  }
  std::int64_t integer(const char* key, std::int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }

  double number(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_number()) refuse(key, "expected a number");
    return at(key).get<double>();
  }

  bool boolean(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_boolean()) refuse(key, "expected true or false");
    return at(key).get<bool>();
  }

  std::string text(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_string()) refuse(key, "expected a text");
    return at(key).get<std::string>();
  }

  /// A token id, or the first one where a list stands.
  std::optional<std::int64_t> token(const char* key) const {
    if (!has(key)) return std::nullopt;
    const Json& value = at(key);
    const Json& id = value.is_array() && !value.empty() ? value.front() : value;
    if (!id.is_number_integer()) refuse(key, "expected a token id or a list of them");
    return id.get<std::int64_t>();
  }

 private:
  const Json& object_;
  std::string where_;
};

/// The `rope_scaling` of older files and the `rope_parameters` of newer ones.
void read_rope(const Fields& fields, TransformerConfig& config) {
  config.rope_theta = fields.number("rope_theta", config.rope_theta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    if (!fields.at(key).is_object()) fields.refuse(key, "expected an object");
    const Fields rope(fields.at(key), fields.where() + ": " + key);
    RopeScaling& scaling = config.rope_scaling;
    config.rope_theta = rope.number("rope_theta", config.rope_theta);
    const std::string type = rope.text("rope_type", rope.text("type", "default"));
    if (type == "default") continue;
    if (type != "linear" && type != "llama3")
      rope.refuse(rope.has("rope_type") ? "rope_type" : "type", "supported are default, linear and llama3");
    scaling.type = type;
    scaling.factor = rope.number("factor", 1);
    scaling.low_freq_factor = rope.number("low_freq_factor", scaling.low_freq_factor);
    scaling.high_freq_factor = rope.number("high_freq_factor", scaling.high_freq_factor);
    scaling.original_max_position_embeddings =
        rope.integer("original_max_position_embeddings", scaling.original_max_position_embeddings);
  }
}

/// Fields that change the computation in ways that the blocks do not know.
void refuse_unsupported(const Fields& fields) {
  for (const char* key : {"attention_bias", "mlp_bias"})
    if (fields.boolean(key, false)) fields.refuse(key, "linears with a bias are not supported in this family");
  for (const char* key : {"quantization_config", "sliding_window"})
    if (fields.has(key)) fields.refuse(key, "it is not supported; expected null or no such field");
  if (fields.number("partial_rotary_factor", 1) != 1)
    fields.refuse("partial_rotary_factor", "supported is 1, where the whole head is rotated");
  if (fields.has("hidden_act") && fields.text("hidden_act", "") != "silu")
    fields.refuse("hidden_act", "supported is \"silu\"");
}

void check_size(const std::string& where, const char* key, std::int64_t value, std::int64_t most) {
  if (value < 1 || value > most)
    throw Error(fmt::format("{}: field '{}' is {}; expected 1 to {}", where, key, value, most));
}

}  // namespace

void check_config(const TransformerConfig& c, const std::string& where) {
  if (c.model_type != "llama")
    throw Error(fmt::format("{}: field 'model_type' is '{}'; supported is 'llama'", where, c.model_type));
  constexpr std::int64_t kMost = 1 << 24;
  check_size(where, "vocab_size", c.vocab_size, kMost);
  check_size(where, "hidden_size", c.hidden_size, 1 << 20);
  check_size(where, "intermediate_size", c.intermediate_size, 1 << 22);
  check_size(where, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(where, "num_attention_heads", c.num_attention_heads, 4096);
  check_size(where, "num_key_value_heads", c.num_key_value_heads, 4096);
  check_size(where, "head_dim", c.head_dim, 4096);
  check_size(where, "max_position_embeddings", c.max_position_embeddings, kMost);
  if (c.head_dim % 2 != 0)
    throw Error(fmt::format("{}: field 'head_dim' is {}; rotary positions need an even number", where, c.head_dim));
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    throw Error(fmt::format("{}: field 'num_key_value_heads' is {}; expected a divisor of num_attention_heads = {}",
                            where, c.num_key_value_heads, c.num_attention_heads));
  if (!(c.rope_theta > 0)) throw Error(fmt::format("{}: field 'rope_theta' is {}; expected > 0", where, c.rope_theta));
  if (!(c.rms_norm_eps >= 0))
    throw Error(fmt::format("{}: field 'rms_norm_eps' is {}; expected >= 0", where, c.rms_norm_eps));
  const RopeScaling& rope = c.rope_scaling;
  if (rope.type != "none" && rope.type != "linear" && rope.type != "llama3")
    throw Error(fmt::format("{}: rope scaling type is '{}'; supported are none, linear, llama3", where, rope.type));
  if (rope.type != "none" && !(rope.factor > 0))
    throw Error(fmt::format("{}: rope scaling factor is {}; expected > 0", where, rope.factor));
  if (rope.type == "llama3" && !(rope.high_freq_factor > rope.low_freq_factor))
    throw Error(fmt::format("{}: field 'high_freq_factor' is {}; expected more than low_freq_factor = {}", where,
                            rope.high_freq_factor, rope.low_freq_factor));
  const std::array<std::pair<const char*, std::optional<std::int64_t>>, 3> tokens{
      {{"bos_token_id", c.bos_token_id}, {"eos_token_id", c.eos_token_id}, {"pad_token_id", c.pad_token_id}}};
  for (const auto& [key, id] : tokens)
    if (id && *id >= c.vocab_size)
      throw Error(
          fmt::format("{}: field '{}' is {}; expected less than vocab_size = {}", where, key, *id, c.vocab_size));
}

TransformerConfig read_config(const std::filesystem::path& file) {
  const std::string where = file.string();
  const Json json = Json::parse(read_file(file), nullptr, false);
  if (!json.is_object()) throw Error(fmt::format("{}: not a JSON object; expected a model's config.json", where));
  const Fields fields(json, where);
  TransformerConfig config;
  config.model_type = fields.text("model_type", "");
  if (config.model_type != "llama")
    throw Error(fmt::format("{}: field 'model_type' is '{}'; supported is 'llama'", where, config.model_type));
  refuse_unsupported(fields);
  config.vocab_size = fields.integer("vocab_size");
  config.hidden_size = fields.integer("hidden_size");
  config.intermediate_size = fields.integer("intermediate_size");
  config.num_hidden_layers = fields.integer("num_hidden_layers");
  config.num_attention_heads = fields.integer("num_attention_heads");
  config.num_key_value_heads = fields.integer("num_key_value_heads", config.num_attention_heads);
  check_size(where, "num_attention_heads", config.num_attention_heads, 4096);
  config.head_dim = fields.integer("head_dim", config.hidden_size / config.num_attention_heads);
  config.max_position_embeddings = fields.integer("max_position_embeddings", config.max_position_embeddings);
  config.rms_norm_eps = fields.number("rms_norm_eps", config.rms_norm_eps);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  config.bos_token_id = fields.token("bos_token_id");
  config.eos_token_id = fields.token("eos_token_id");
  config.pad_token_id = fields.token("pad_token_id");
  if (config.pad_token_id && *config.pad_token_id < 0) config.pad_token_id.reset();
  read_rope(fields, config);
  check_config(config, where);
  return config;
}

void write_config(const TransformerConfig& c, const std::filesystem::path& file) {
  Json rope = {{"rope_type", c.rope_scaling.type == "none" ? "default" : c.rope_scaling.type},
               {"rope_theta", c.rope_theta}};
  if (c.rope_scaling.type != "none") rope["factor"] = c.rope_scaling.factor;
  if (c.rope_scaling.type == "llama3") {
    rope["low_freq_factor"] = c.rope_scaling.low_freq_factor;
    rope["high_freq_factor"] = c.rope_scaling.high_freq_factor;
    rope["original_max_position_embeddings"] = c.rope_scaling.original_max_position_embeddings;
  }
  Json json = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", c.model_type},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.hidden_size},
               {"intermediate_size", c.intermediate_size},
               {"num_hidden_layers", c.num_hidden_layers},
               {"num_attention_heads", c.num_attention_heads},
               {"num_key_value_heads", c.num_key_value_heads},
               {"head_dim", c.head_dim},
               {"hidden_act", "silu"},
               {"max_position_embeddings", c.max_position_embeddings},
               {"rms_norm_eps", c.rms_norm_eps},
               {"rope_theta", c.rope_theta},
               {"rope_parameters", rope},
               {"tie_word_embeddings", c.tie_word_embeddings},
               {"attention_bias", false},
               {"mlp_bias", false}};
  if (c.rope_scaling.type != "none") json["rope_scaling"] = rope;
  const auto token = [&](const char* key, const std::optional<std::int64_t>& id) {
    json[key] = id ? Json(*id) : Json(nullptr);
  };
  token("bos_token_id", c.bos_token_id);
  token("eos_token_id", c.eos_token_id);
  token("pad_token_id", c.pad_token_id);
  write_file_atomically(file, json.dump(2) + "\n");
}

}  // namespace mneme::model
