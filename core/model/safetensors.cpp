#include "core/model/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>
#include <tuple>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/text/json_fields.h"

namespace mneme::model {
namespace {

using Json = nlohmann::json;

/// The format's own limit on its header.
constexpr std::uint64_t kMaxHeader = 100'000'000;

struct DtypeName {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array<DtypeName, 10> kDtypes{{{"F64", at::kDouble},
                                             {"F32", at::kFloat},
                                             {"F16", at::kHalf},
                                             {"BF16", at::kBFloat16},
                                             {"I64", at::kLong},
                                             {"I32", at::kInt},
                                             {"I16", at::kShort},
                                             {"I8", at::kChar},
                                             {"U8", at::kByte},
                                             {"BOOL", at::kBool}}};

/// What the header says about one tensor, checked.
struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;  ///< bytes from the end of the header
};

/// Parses a header; every error names the file.
class HeaderReader {
 public:
  HeaderReader(std::string where, std::string_view text, std::uint64_t data_bytes)
      : where_(std::move(where)), text_(text), data_bytes_(data_bytes) {}

  /// The `__metadata__` object, which may be missing.
  std::map<std::string, std::string> metadata() const {
    std::map<std::string, std::string> texts;
    const Json json = parse();
    if (!json.contains("__metadata__")) return texts;
    const Json& metadata = json.at("__metadata__");
    if (!metadata.is_object()) throw Error(fmt::format("{}: '__metadata__' is not an object of texts", where_));
    for (const auto& [key, value] : metadata.items()) {
      if (!value.is_string()) throw Error(fmt::format("{}: metadata '{}' is not a text", where_, key));
      texts[key] = value.get<std::string>();
    }
    return texts;
  }

  std::vector<Entry> entries() const {
    const Json json = parse();
    std::vector<Entry> entries;
    for (const auto& [name, value] : json.items()) {
      if (name == "__metadata__") continue;
      entries.push_back(entry(name, value));
    }
    check_layout(entries);
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw Error(fmt::format("{}: tensor '{}': {}", where_, name, what));
  }

  /// Two keys of one object that are equal would silently be one.
  Json parse() const {
    text::check_json_depth(text_, where_);
    std::vector<std::set<std::string>> keys;
    const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
        throw Error(fmt::format("{}: the header names '{}' twice", where_, parsed.get<std::string>()));
      return true;
    };
    try {
      Json json = Json::parse(text_, watch);
      if (!json.is_object()) throw Error(fmt::format("{}: the header is not a JSON object", where_));
      return json;
    } catch (const Json::exception& e) {
      throw Error(fmt::format("{}: the header is not JSON: {}", where_, text::json_complaint(e)));
    }
  }

  Entry entry(const std::string& name, const Json& value) const {
    if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets"))
      fail(name, "expected an object with 'dtype', 'shape' and 'data_offsets'");
    Entry entry{.name = name, .type = at::kFloat, .shape = {}, .begin = 0, .end = 0};
    entry.type = dtype(name, value.at("dtype"));
    const Json& shape = value.at("shape");
    if (!shape.is_array()) fail(name, "'shape' is not a list");
    std::uint64_t bytes = c10::elementSize(entry.type);
    for (const Json& size : shape) {
      if (!size.is_number_unsigned() || size.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
        fail(name, fmt::format("'shape' holds {}; expected sizes from 0", size.dump()));
      entry.shape.push_back(size.get<std::int64_t>());
      if (__builtin_mul_overflow(bytes, size.get<std::uint64_t>(), &bytes))
        fail(name, fmt::format("shape {} has more bytes than can be counted", shape.dump()));
    }
    const Json& offsets = value.at("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      fail(name, fmt::format("'data_offsets' is {}; expected two positions", offsets.dump()));
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    if (entry.begin > entry.end || entry.end > data_bytes_)
      fail(name, fmt::format("its data is said to lie at {} to {}; the file holds {} bytes of data", entry.begin,
                             entry.end, data_bytes_));
    if (entry.end - entry.begin != bytes)
      fail(name, fmt::format("shape {} of {} needs {} bytes; the header gives {}", shape.dump(),
                             value.at("dtype").get<std::string>(), bytes, entry.end - entry.begin));
    return entry;
  }

  at::ScalarType dtype(const std::string& name, const Json& value) const {
    if (value.is_string())
      for (const auto& known : kDtypes)
        if (value.get_ref<const std::string&>() == known.name) return known.type;
    fail(name, fmt::format("dtype {} is not supported; expected F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL",
                           value.dump()));
  }

  /// The data must be covered by the tensors without a gap or an overlap.
  void check_layout(std::vector<Entry> entries) const {
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
    std::uint64_t position = 0;
    for (const Entry& e : entries) {
      if (e.begin != position)
        fail(e.name,
             fmt::format("its data starts at {}; expected {}, where the tensor before it ends", e.begin, position));
      position = e.end;
    }
    if (position != data_bytes_)
      throw Error(
          fmt::format("{}: the tensors cover {} bytes of data; the file holds {}", where_, position, data_bytes_));
  }

  std::string where_;
  std::string_view text_;
  std::uint64_t data_bytes_;
};

at::Tensor tensor_of(const Entry& entry, const std::byte* data, const std::shared_ptr<MappedFile>& map) {
  const auto options = at::TensorOptions().dtype(entry.type);
  // from_blob takes a mutable pointer; the map is read-only and the contract forbids writing.
  void* start = const_cast<std::byte*>(data + entry.begin);
  if (entry.begin == entry.end) return at::empty(entry.shape, options);
  if (reinterpret_cast<std::uintptr_t>(start) % c10::elementSize(entry.type) == 0)
    return at::from_blob(
        start, entry.shape, [map](void*) {}, options);
  at::Tensor copy = at::empty(entry.shape, options);
  std::memcpy(copy.data_ptr(), start, entry.end - entry.begin);
  return copy;
}

/// A mapped file, split into header and data.
struct MappedTensors {
  std::shared_ptr<MappedFile> map;
  std::string_view header;
  std::span<const std::byte> data;
};

MappedTensors map_tensors(const std::filesystem::path& file) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  auto map = std::make_shared<MappedFile>(file);
  const std::span<const std::byte> bytes = map->bytes();
  const std::string where = file.string();
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length)
    throw Error(fmt::format("{}: {} bytes; a safetensors file has at least 8", where, bytes.size()));
  std::memcpy(&length, bytes.data(), sizeof length);
  const std::span<const std::byte> rest = bytes.subspan(sizeof length);
  if (length > kMaxHeader || length > rest.size())
    throw Error(
        fmt::format("{}: the header is said to have {} bytes; the file has {} after its first 8, and the "
                    "format allows {}. It is damaged, cut off or no safetensors file",
                    where, length, rest.size(), kMaxHeader));
  return {.map = std::move(map),
          .header = {reinterpret_cast<const char*>(rest.data()), static_cast<std::size_t>(length)},
          .data = rest.subspan(static_cast<std::size_t>(length))};
}

}  // namespace

std::map<std::string, at::Tensor> read_safetensors(const std::filesystem::path& file) {
  const MappedTensors mapped = map_tensors(file);
  std::map<std::string, at::Tensor> tensors;
  for (const Entry& entry : HeaderReader(file.string(), mapped.header, mapped.data.size()).entries())
    tensors.emplace(entry.name, tensor_of(entry, mapped.data.data(), mapped.map));
  return tensors;
}

std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& file) {
  const MappedTensors mapped = map_tensors(file);
  return HeaderReader(file.string(), mapped.header, mapped.data.size()).metadata();
}

void write_safetensors(const std::filesystem::path& file,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t position = 0;
  for (const auto& [name, tensor] : tensors) {
    MNEME_CHECK(tensor.defined(), "{}: tensor '{}' is undefined", file.string(), name);
    MNEME_CHECK(!header.contains(name) && name != "__metadata__", "{}: tensor name '{}' is taken", file.string(), name);
    const auto known = std::find_if(kDtypes.begin(), kDtypes.end(),
                                    [type = tensor.scalar_type()](const DtypeName& d) { return d.type == type; });
    MNEME_CHECK(known != kDtypes.end(), "{}: tensor '{}' has dtype {}, which the format does not know", file.string(),
                name, c10::toString(tensor.scalar_type()));
    header[name] = {{"dtype", known->name},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {position, position + tensor.nbytes()}}};
    position += tensor.nbytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data starts aligned
  const std::uint64_t length = text.size();
  std::string content(sizeof length, '\0');
  std::memcpy(content.data(), &length, sizeof length);
  content.reserve(sizeof length + text.size() + position);
  content += text;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    content.append(static_cast<const char*>(plain.data_ptr()), plain.nbytes());
  }
  write_file_atomically(file, content);
}

}  // namespace mneme::model
