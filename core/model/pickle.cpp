#include "core/model/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/unicode.h"

namespace mneme::model {

namespace {
/// Instructions by the names that Python's pickletools gives them.
enum Instruction : unsigned char {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kBinFloat = 'G',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
  kProto = 0x80,
  kFrame = 0x95,
};
}  // namespace

PickleReader::PickleReader(std::span<const std::byte> bytes, std::string where)
    : bytes_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), where_(std::move(where)) {}

const PickleValue& PickleReader::read() {
  for (;;) {
    const auto instruction = static_cast<unsigned char>(take(1)[0]);
    if (instruction == kStop) return *pop();
    step(instruction);
  }
}

void PickleReader::step(unsigned char instruction) {
  if (step_constant(instruction) || step_container(instruction) || step_memo(instruction)) return;
  switch (instruction) {
    case kProto:
      if (const auto version = number<std::uint8_t>(); version < 2 || version > 4)
        damaged(fmt::format("pickle protocol {}, which is not supported,", version));
      return;
    case kFrame:
      take(8);
      return;
    case kGlobal: {
      const std::string_view module = line();
      return push_name(module, line());
    }
    case kStackGlobal: {
      const std::string_view name = pop()->text, module = pop()->text;
      return push_name(module, name);
    }
    case kReduce:
    case kBuild: {
      PickleValue* arguments = pop();
      if (instruction == kBuild) return;  // attributes such as a state dictionary's versions: no tensors
      PickleValue* called = pop();
      push(Kind::kCall)->items = {called, arguments};
      return;
    }
    case kBinPersId: {
      PickleValue* id = pop();
      push(Kind::kPersistent)->items = {id};
      return;
    }
    default:
      damaged(
          fmt::format("the pickle instruction 0x{:02x}, which a dictionary of tensors does not need,", instruction));
  }
}

bool PickleReader::step_constant(unsigned char instruction) {
  switch (instruction) {
    case kNone:
      push(Kind::kNone);
      return true;
    case kNewTrue:
    case kNewFalse:
      push(Kind::kBool)->integer = instruction == kNewTrue ? 1 : 0;
      return true;
    case kBinInt:
      push_integer(number<std::int32_t>());
      return true;
    case kBinInt1:
      push_integer(number<std::uint8_t>());
      return true;
    case kBinInt2:
      push_integer(number<std::uint16_t>());
      return true;
    case kLong1:
      push_long(number<std::uint8_t>());
      return true;
    case kLong4:
      push_long(number<std::uint32_t>());
      return true;
    case kBinFloat:
      take(8);
      push(Kind::kReal);
      return true;
    case kBinUnicode:
      push_text(number<std::uint32_t>());
      return true;
    case kShortBinUnicode:
      push_text(number<std::uint8_t>());
      return true;
    case kBinUnicode8:
      push_text(number<std::uint64_t>());
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_container(unsigned char instruction) {
  switch (instruction) {
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
      push_tuple(0);
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      push_tuple(instruction - kTuple1 + std::size_t{1});
      return true;
    case kTuple:
      push_tuple(stack_.size() - mark());
      return true;
    case kEmptyList:
      push(Kind::kList);
      return true;
    case kEmptyDict:
      push(Kind::kDictionary);
      return true;
    case kAppend:
    case kSetItem:
      append_items(instruction == kAppend ? Kind::kList : Kind::kDictionary,
                   stack_.size() - std::min<std::size_t>(stack_.size(), instruction == kAppend ? 1 : 2));
      return true;
    case kAppends:
    case kSetItems:
      append_items(instruction == kAppends ? Kind::kList : Kind::kDictionary, mark());
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_memo(unsigned char instruction) {
  switch (instruction) {
    case kBinPut:
      remember(number<std::uint8_t>());
      return true;
    case kLongBinPut:
      remember(number<std::uint32_t>());
      return true;
    case kMemoize:
      remember(memo_.size());
      return true;
    case kBinGet:
      recall(number<std::uint8_t>());
      return true;
    case kLongBinGet:
      recall(number<std::uint32_t>());
      return true;
    default:
      return false;
  }
}

void PickleReader::damaged(const std::string& what) const {
  throw Error(
      fmt::format("{}: {} at byte {} of its pickle; expected a dictionary of plain tensors", where_, what, at_));
}

std::string_view PickleReader::take(std::uint64_t size) {
  if (size > bytes_.size() - at_)
    damaged(fmt::format("{} bytes are wanted, but {} are left", size, bytes_.size() - at_));
  const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(size));
  at_ += taken.size();
  return taken;
}

std::string_view PickleReader::line() {
  const std::size_t end = bytes_.find('\n', at_);
  if (end == bytes_.npos) damaged("a name without its end");
  const std::string_view text = take(end - at_);
  take(1);
  return text;
}

template <class Number>
Number PickleReader::number() {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  Number value{};
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

PickleValue* PickleReader::push(Kind kind) {
  PickleValue& value = values_.emplace_back();
  value.kind = kind;
  stack_.push_back(&value);
  return &value;
}

PickleValue* PickleReader::pop() {
  if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size())) damaged("a value is missing");
  PickleValue* value = stack_.back();
  stack_.pop_back();
  return value;
}

void PickleReader::push_integer(std::int64_t value) { push(Kind::kInteger)->integer = value; }

void PickleReader::push_text(std::uint64_t size) {
  const std::string_view text = take(size);
  if (find_invalid_utf8(text)) damaged("a text that is no UTF-8");
  push(Kind::kText)->text = text;
}

/// Little-endian two's complement of any length; more than 64 bits is no size or offset.
void PickleReader::push_long(std::uint64_t size) {
  if (size > 8) damaged(fmt::format("a number of {} bytes", size));
  const std::string_view bytes = take(size);
  std::uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  push_integer(static_cast<std::int64_t>(value));
}

void PickleReader::push_tuple(std::size_t size) {
  std::vector<const PickleValue*> items(size);
  for (std::size_t i = size; i-- > 0;) items[i] = pop();
  push(Kind::kTuple)->items = std::move(items);
}

void PickleReader::push_name(std::string_view module, std::string_view name) {
  push(Kind::kName)->text = texts_.emplace_back(fmt::format("{} {}", module, name));
}

/// Moves what lies on the stack from there on into the container below it.
void PickleReader::append_items(Kind kind, std::size_t from) {
  if (from == 0 || (kind == Kind::kDictionary && (stack_.size() - from) % 2 != 0)) damaged("a value is missing");
  PickleValue& container = *stack_[from - 1];
  // A dictionary may also be the result of a call without arguments: collections.OrderedDict().
  if (container.kind != kind && !(kind == Kind::kDictionary && container.kind == Kind::kCall))
    damaged("items for what takes none");
  container.items.insert(container.items.end(), stack_.begin() + static_cast<std::ptrdiff_t>(from), stack_.end());
  stack_.resize(from);
}

std::size_t PickleReader::mark() {
  if (marks_.empty() || marks_.back() > stack_.size()) damaged("a mark is missing");
  const std::size_t position = marks_.back();
  marks_.pop_back();
  return position;
}

void PickleReader::remember(std::uint64_t slot) {
  if (stack_.empty()) damaged("a value is missing");
  if (slot > memo_.size()) damaged(fmt::format("memory slot {} before slot {}", slot, memo_.size()));
  if (slot == memo_.size()) memo_.push_back(nullptr);
  memo_[static_cast<std::size_t>(slot)] = stack_.back();
}

void PickleReader::recall(std::uint64_t slot) {
  if (slot >= memo_.size() || memo_[static_cast<std::size_t>(slot)] == nullptr)
    damaged(fmt::format("the empty memory slot {}", slot));
  stack_.push_back(memo_[static_cast<std::size_t>(slot)]);
}

}  // namespace mneme::model
