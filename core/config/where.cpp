#include "core/config/where.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/override_functions.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
constexpr int kMostLevels = 50;

class Evaluator {
 public:
  Evaluator(std::string_view text, const std::function<const Node*(const std::string&)>& look_up)
      : text_(text), look_up_(look_up) {}

  bool run() {
    next();
    const bool result = truth(disjunction());
    if (!token_.empty()) fail(fmt::format("unexpected '{}'", token_));
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ConfigError(fmt::format("where: '{}': at byte {}: {}", text_, start_ + 1, what));
  }

  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_.@/+-").find(c) != std::string_view::npos;
  }

  void next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
    start_ = at_;
    if (at_ == text_.size()) {
      token_ = {};
      return;
    }
    const char c = text_[at_];
    if (is_word(c)) {
      while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    } else if (c == '\'' || c == '"') {
      const auto close = text_.find(c, at_ + 1);
      if (close == text_.npos) fail("the quote is not closed");
      at_ = close + 1;
    } else {
      const std::string_view two = text_.substr(at_, 2);
      const bool pair = two == "==" || two == "!=" || two == "<=" || two == ">=";
      if (!pair && std::string_view("<>()[],").find(c) == std::string_view::npos)
        fail(fmt::format("unexpected '{}'", c));
      at_ += pair ? 2 : 1;
    }
    token_ = text_.substr(start_, at_ - start_);
  }

  bool take(std::string_view token) {
    if (token_ != token) return false;
    next();
    return true;
  }

  bool truth(const Node& node) const {
    if (!node.is_bool())
      fail(fmt::format("expected a comparison, found {} {}", kind_name(node.kind()), describe(node)));
    return node.as_bool();
  }

  Node disjunction() {
    if (++level_ > kMostLevels) fail("too many levels of parentheses");
    Node left = conjunction();
    while (take("or")) {
      const bool right = truth(conjunction());
      left = Node::boolean(truth(left) || right);
    }
    --level_;
    return left;
  }

  Node conjunction() {
    Node left = negation();
    while (take("and")) {
      const bool right = truth(negation());
      left = Node::boolean(truth(left) && right);
    }
    return left;
  }

  Node negation() {
    if (!take("not")) return comparison();
    if (++level_ > kMostLevels) fail("too many levels");
    const Node result = Node::boolean(!truth(negation()));
    --level_;
    return result;
  }

  Node comparison() {
    const Node left = operand();
    const std::string op(token_);
    if (op == "in") {
      next();
      const Node right = operand();
      if (!right.is_list()) fail("'in' takes a list: [a, b]");
      for (const Node& item : right.items())
        if (python_equal(left, item)) return Node::boolean(true);
      return Node::boolean(false);
    }
    if (op != "==" && op != "!=" && op != "<" && op != "<=" && op != ">" && op != ">=") return left;
    next();
    const Node right = operand();
    if (op == "==") return Node::boolean(python_equal(left, right));
    if (op == "!=") return Node::boolean(!python_equal(left, right));
    int sign = 0;
    if (left.is_number() && right.is_number())
      sign = left.as_float() < right.as_float() ? -1 : left.as_float() > right.as_float() ? 1 : 0;
    else if (left.is_string() && right.is_string())
      sign = left.as_string().compare(right.as_string());
    else
      fail(fmt::format("{} {} and {} {} have no order", kind_name(left.kind()), describe(left), kind_name(right.kind()),
                       describe(right)));
    if (op == "<") return Node::boolean(sign < 0);
    if (op == "<=") return Node::boolean(sign <= 0);
    return Node::boolean(op == ">" ? sign > 0 : sign >= 0);
  }

  Node operand() {
    if (take("(")) {
      Node inner = disjunction();
      if (!take(")")) fail("')' is missing");
      return inner;
    }
    if (take("[")) {
      Node list = Node::list();
      while (token_ != "]") {
        list.push_back(operand());
        if (!take(",") && token_ != "]") fail("expected ',' or ']'");
      }
      next();
      return list;
    }
    if (token_.empty()) fail("a value is missing");
    const std::string word(token_);
    if (!is_word(word[0]) && word[0] != '\'' && word[0] != '"') fail(fmt::format("expected a value, found '{}'", word));
    next();
    if (word[0] == '\'' || word[0] == '"') return Node::string(word.substr(1, word.size() - 2));
    if (word == "true" || word == "false") return Node::boolean(word == "true");
    if (word == "null") return Node::null();
    if (const auto digits = parse_python_int(word)) return Node::integer_digits(*digits);
    if (const auto number = parse_python_float(word)) return Node::real(*number);
    if (const Node* value = look_up_(word)) return *value;
    return Node::string(word);
  }

  std::string_view text_;
  const std::function<const Node*(const std::string&)>& look_up_;
  std::string_view token_;
  std::size_t at_ = 0, start_ = 0;
  int level_ = 0;
};
}  // namespace

bool holds(std::string_view expression, const std::function<const Node*(const std::string& key)>& look_up) {
  return Evaluator(expression, look_up).run();
}

}  // namespace mneme::config
