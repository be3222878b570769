#include "core/model/torch_archive.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/pickle.h"
#include "core/model/zip_archive.h"

namespace mneme::model {

namespace {
using Kind = PickleValue::Kind;
using Items = std::vector<const PickleValue*>;

struct StorageName {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array<StorageName, 10> kStorages{{{"torch DoubleStorage", at::kDouble},
                                                 {"torch FloatStorage", at::kFloat},
                                                 {"torch HalfStorage", at::kHalf},
                                                 {"torch BFloat16Storage", at::kBFloat16},
                                                 {"torch LongStorage", at::kLong},
                                                 {"torch IntStorage", at::kInt},
                                                 {"torch ShortStorage", at::kShort},
                                                 {"torch CharStorage", at::kChar},
                                                 {"torch ByteStorage", at::kByte},
                                                 {"torch BoolStorage", at::kBool}}};
constexpr std::size_t kMostDimensions = 16;

/// A stretch of the file that tensors look into.
struct Storage {
  at::ScalarType type;
  std::span<const std::byte> bytes;
  std::int64_t elements() const { return static_cast<std::int64_t>(bytes.size() / c10::elementSize(type)); }
};

class ArchiveReader {
 public:
  explicit ArchiveReader(const std::filesystem::path& file)
      : where_(file.string()),
        map_(std::make_shared<MappedFile>(file)),
        entries_(read_stored_zip(map_->bytes(), where_)) {
    const auto pickle = std::find_if(entries_.begin(), entries_.end(),
                                     [](const auto& entry) { return entry.first.ends_with("data.pkl"); });
    if (pickle == entries_.end()) throw Error(fmt::format("{}: the archive has no data.pkl", where_));
    folder_ = pickle->first.substr(0, pickle->first.size() - std::string_view("data.pkl").size());
    const auto order = entries_.find(folder_ + "byteorder");
    if (order != entries_.end() && as_text(order->second) != "little")
      throw Error(fmt::format("{}: its byte order is '{}'; expected little", where_, as_text(order->second)));
    pickle_.emplace(pickle->second, where_);
  }

  std::map<std::string, at::Tensor> read() {
    std::map<std::string, at::Tensor> tensors;
    const Items items = dictionary(pickle_->read());
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i]->kind != Kind::kText)
        throw Error(fmt::format("{}: its dictionary has a key that is no text", where_));
      name_ = std::string(items[i]->text);
      if (!tensors.emplace(name_, tensor(*items[i + 1])).second) fail("is there twice");
    }
    return tensors;
  }

 private:
  static std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: tensor '{}': {}", where_, name_, what));
  }

  /// Key, value, key, value … of a dict or an OrderedDict.
  Items dictionary(const PickleValue& value) const {
    if (value.kind == Kind::kDictionary) return value.items;
    if (value.kind == Kind::kCall && value.items.size() >= 2 && is_name(*value.items[0], "collections OrderedDict") &&
        value.items[1]->kind == Kind::kTuple && value.items[1]->items.empty())
      return {value.items.begin() + 2, value.items.end()};
    throw Error(fmt::format("{}: holds no dictionary; expected what torch.save(model.state_dict(), …) writes", where_));
  }

  static bool is_name(const PickleValue& value, std::string_view name) {
    return value.kind == Kind::kName && value.text == name;
  }

  /// The arguments if the value is a call of that function with as many of them at least.
  static const Items* arguments(const PickleValue& value, std::string_view function, std::size_t least) {
    if (value.kind != Kind::kCall || value.items.size() != 2 || !is_name(*value.items[0], function)) return nullptr;
    const PickleValue& tuple = *value.items[1];
    return tuple.kind == Kind::kTuple && tuple.items.size() >= least ? &tuple.items : nullptr;
  }

  at::Tensor tensor(const PickleValue& value) const {
    if (const Items* parameter = arguments(value, "torch._utils _rebuild_parameter", 1)) {
      if (arguments(*(*parameter)[0], "torch._utils _rebuild_tensor_v2", 4) == nullptr) fail("is no plain parameter");
      return tensor(*(*parameter)[0]);
    }
    const Items* parts = arguments(value, "torch._utils _rebuild_tensor_v2", 4);
    if (parts == nullptr) {
      const bool call = value.kind == Kind::kCall && value.items[0]->kind == Kind::kName;
      fail(fmt::format("is no plain tensor{}", call ? fmt::format(" but made by '{}'", value.items[0]->text) : ""));
    }
    return view(storage(*(*parts)[0]), integer(*(*parts)[1], "offset"), integers(*(*parts)[2], "shape"),
                integers(*(*parts)[3], "strides"));
  }

  std::int64_t integer(const PickleValue& value, std::string_view what) const {
    if (value.kind != Kind::kInteger || value.integer < 0) fail(fmt::format("its {} is no whole number from 0", what));
    return value.integer;
  }

  std::vector<std::int64_t> integers(const PickleValue& value, std::string_view what) const {
    if (value.kind != Kind::kTuple || value.items.size() > kMostDimensions)
      fail(fmt::format("its {} is no tuple of at most {} numbers", what, kMostDimensions));
    std::vector<std::int64_t> numbers;
    for (const PickleValue* item : value.items) numbers.push_back(integer(*item, what));
    return numbers;
  }

  /// From ('storage', type, key, device, elements): the archive's entry data/<key>.
  Storage storage(const PickleValue& value) const {
    const bool persistent = value.kind == Kind::kPersistent && value.items[0]->kind == Kind::kTuple;
    const Items& id = persistent ? value.items[0]->items : value.items;
    if (!persistent || id.size() < 5 || id[0]->kind != Kind::kText || id[0]->text != "storage" ||
        id[2]->kind != Kind::kText)
      fail("has no storage in the archive");
    const auto known = std::find_if(kStorages.begin(), kStorages.end(),
                                    [&](const StorageName& storage) { return is_name(*id[1], storage.name); });
    if (known == kStorages.end()) fail(fmt::format("its storage is a '{}', which is not supported", id[1]->text));
    const std::string key = fmt::format("{}data/{}", folder_, id[2]->text);
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) fail(fmt::format("its data '{}' is not in the archive", key));
    const Storage storage{known->type, entry->second};
    if (const std::int64_t elements = integer(*id[4], "number of elements"); elements > storage.elements())
      fail(fmt::format("is said to have {} elements of {}; the archive has {} bytes of them", elements,
                       c10::toString(storage.type), storage.bytes.size()));
    return storage;
  }

  at::Tensor view(const Storage& storage, std::int64_t offset, const std::vector<std::int64_t>& shape,
                  const std::vector<std::int64_t>& strides) const {
    if (strides.size() != shape.size()) fail(fmt::format("has {} sizes and {} strides", shape.size(), strides.size()));
    std::int64_t count = 1, last = offset;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      std::int64_t step = 0;
      if (__builtin_mul_overflow(count, shape[i], &count)) fail("has more elements than can be counted");
      if (shape[i] > 0 &&
          (__builtin_mul_overflow(shape[i] - 1, strides[i], &step) || __builtin_add_overflow(last, step, &last)))
        fail("its strides lead out of its storage");
    }
    const auto options = at::TensorOptions().dtype(storage.type);
    if (count == 0) return at::empty(shape, options);
    if (last >= storage.elements() || count > storage.elements())
      fail(fmt::format("its {} elements from {} on reach element {} of its storage, which has {}", count, offset, last,
                       storage.elements()));
    const std::size_t size = c10::elementSize(storage.type);
    // from_blob takes a mutable pointer; the map is read-only and the contract forbids writing.
    void* start = const_cast<std::byte*>(storage.bytes.data()) + static_cast<std::size_t>(offset) * size;
    if (reinterpret_cast<std::uintptr_t>(start) % size == 0)
      return at::from_blob(
                 start, shape, strides, [map = map_](void*) {}, options)
          .contiguous();
    at::Tensor copy = at::empty({storage.elements()}, options);
    std::memcpy(copy.data_ptr(), storage.bytes.data(), static_cast<std::size_t>(storage.elements()) * size);
    return copy.as_strided(shape, strides, offset).contiguous();
  }

  std::string where_;
  std::shared_ptr<MappedFile> map_;
  std::map<std::string, std::span<const std::byte>> entries_;
  std::string folder_;  ///< of the archive's entries, with its slash
  std::optional<PickleReader> pickle_;
  std::string name_;  ///< of the tensor being read
};
}  // namespace

std::map<std::string, at::Tensor> read_torch_archive(const std::filesystem::path& file) {
  return ArchiveReader(file).read();
}

}  // namespace mneme::model
