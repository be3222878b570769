#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/node.h"

namespace mneme::config {

/// A parsed string of the interpolation language: text with ${key} and ${resolver:arguments} in it.
struct Expression {
  enum class Shape {
    kScalar,    ///< a value without interpolation
    kConcat,    ///< parts written one behind the other: always a string
    kNode,      ///< ${a.b}: `dots` leading dots, then parts that make up the key
    kResolver,  ///< ${name:arguments}: `name` parts, joined by dots
    kList,
    kDict,
  };

  Expression();
  ~Expression();
  Expression(const Expression& other);
  Expression(Expression&& other) noexcept;
  Expression& operator=(const Expression& other);
  Expression& operator=(Expression&& other) noexcept;

  Shape shape = Shape::kScalar;
  Node scalar;
  std::vector<Expression> parts;  ///< of a concatenation or key (texts and interpolations), items, arguments
  std::vector<Expression> name;   ///< of a resolver
  std::vector<std::pair<Node, Expression>> entries;  ///< of a dict
  std::string text;                                  ///< as written
};

/// Parses a whole string of a configuration. Throws ConfigError (without position) saying what is wrong and where in
/// the text. Strings without "${" need no parsing.
Expression parse_interpolation(std::string_view text);

/// Parses one value as it stands among a resolver's arguments, for oc.decode.
Expression parse_argument(std::string_view text);

/// Splits a key into its parts: "a.b[c].0" gives a, b, c, 0; a leading dot gives an empty first part.
std::vector<std::string> split_key(std::string_view key);

}  // namespace mneme::config
