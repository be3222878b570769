#include "core/text/post_processor.h"

#include "core/base/error.h"
#include "core/text/subword_model.h"

namespace mneme::text {

namespace {
std::int32_t id_in(const Json& value, const JsonFields& fields, const std::string& key) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= static_cast<std::uint64_t>(kMostTokens))
    fields.fail(key, fmt::format("holds {}; expected an id", brief(value)));
  return value.get<std::int32_t>();
}

/// The ids of the special token that a template names.
TokenIds special_ids(const Json& specials, const std::string& name, const std::string& where) {
  const auto entry = specials.find(name);
  if (entry == specials.end())
    throw DataError(fmt::format("{}: the template names '{}', which is not among its special tokens", where, name));
  JsonFields fields(*entry, fmt::format("{}[{}]", where, name));
  TokenIds ids;
  for (const Json& id : fields.array("ids")) ids.push_back(id_in(id, fields, "ids"));
  return ids;
}

Surroundings from_template(JsonFields& fields) {
  const Json& specials = fields.object("special_tokens");
  fields.ignore("pair");
  Surroundings made;
  bool behind = false;
  for (const Json& item : fields.array("single")) {
    JsonFields piece(item, fields.where("single"));
    if (piece.find("SpecialToken") != nullptr) {
      JsonFields token(piece.object("SpecialToken"), piece.where("SpecialToken"));
      const TokenIds ids = special_ids(specials, token.text("id"), fields.where("special_tokens"));
      TokenIds& side = behind ? made.after : made.before;
      side.insert(side.end(), ids.begin(), ids.end());
      continue;
    }
    JsonFields sequence(piece.object("Sequence"), piece.where("Sequence"));
    if (sequence.text("id") != "A" || behind)
      fields.fail("single", fmt::format("is {}; expected the text, A, once", brief(fields.array("single"))));
    behind = true;
  }
  if (!behind) fields.fail("single", "lacks the text, A");
  return made;
}

/// BERT's and RoBERTa's: cls in front, sep behind.
Surroundings from_pair(JsonFields& fields) {
  const auto id = [&](const std::string& key) {
    const Json& pair = fields.array(key);
    if (pair.size() != 2) fields.fail(key, fmt::format("is {}; expected a token and its id", brief(pair)));
    return id_in(pair[1], fields, key);
  };
  return {{id("cls")}, {id("sep")}};
}
}  // namespace

Surroundings make_surroundings(const Json* value, const std::string& where) {
  if (value == nullptr) return {};
  JsonFields fields(*value, where);
  const std::string type = fields.text("type");
  for (const char* key : {"trim_offsets", "add_prefix_space", "use_regex"}) fields.ignore(key);
  Surroundings made;
  if (type == "TemplateProcessing") {
    made = from_template(fields);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    made = from_pair(fields);
  } else if (type == "Sequence") {
    for (const Json& step : fields.array("processors")) {
      Surroundings own = make_surroundings(&step, fields.where("processors"));
      const auto adds = [](const Surroundings& some) { return !some.before.empty() || !some.after.empty(); };
      if (adds(made) && adds(own)) fields.fail("processors", "has two that add tokens, which is not supported");
      if (adds(own)) made = std::move(own);
    }
  } else if (type != "ByteLevel") {
    fields.fail("type", fmt::format("'{}' is not supported; expected TemplateProcessing, ByteLevel, BertProcessing, "
                                    "RobertaProcessing or Sequence",
                                    type));
  }
  fields.finish();
  return made;
}

}  // namespace mneme::text
