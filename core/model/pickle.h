#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::model {

/// A value of a pickle, kept as data.
struct PickleValue {
  enum class Kind {
    kNone,
    kBool,        ///< integer
    kInteger,     ///< integer
    kReal,        ///< only that it is one
    kText,        ///< text
    kList,        ///< items
    kTuple,       ///< items
    kDictionary,  ///< items: key, value, key, value …
    kName,        ///< text: "module name", what Python would import
    kCall,        ///< items: the name, the tuple of its arguments
    kPersistent,  ///< items: the id, kept outside of the pickle
  };
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;
  std::string_view text;  ///< into the pickle's bytes or the reader's own texts
  std::vector<const PickleValue*> items;
};

/// Reads a pickle (protocols 2 to 4) without executing anything: a call stays a call. Throws Error naming `where` and
/// the byte for an instruction that dictionaries of tensors do not need, and for what is cut off or damaged.
class PickleReader {
 public:
  PickleReader(std::span<const std::byte> bytes, std::string where);

  /// The whole value; it lives as long as the reader and the bytes.
  const PickleValue& read();

 private:
  using Kind = PickleValue::Kind;
  void step(unsigned char instruction);
  bool step_constant(unsigned char instruction);
  bool step_container(unsigned char instruction);
  bool step_memo(unsigned char instruction);
  [[noreturn]] void damaged(const std::string& what) const;
  std::string_view take(std::uint64_t size);
  std::string_view line();
  template <class Number>
  Number number();
  PickleValue* push(Kind kind);
  PickleValue* pop();
  PickleValue& top(Kind kind);
  void push_integer(std::int64_t value);
  void push_text(std::uint64_t size);
  void push_long(std::uint64_t size);
  void push_tuple(std::size_t size);
  void push_name(std::string_view module, std::string_view name);
  void append_items(Kind kind, std::size_t from);
  std::size_t mark();
  void remember(std::uint64_t slot);
  void recall(std::uint64_t slot);

  std::string_view bytes_;
  std::string where_;
  std::size_t at_ = 0;
  std::deque<PickleValue> values_;
  std::deque<std::string> texts_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PickleValue*> memo_;
};

}  // namespace mneme::model
