#pragma once

#include <string>
#include <vector>

namespace mneme {

enum class ParamType { kBool, kInt, kReal, kText, kChoice, kIntList, kRealList, kTextList };

/// One setting that a part of the program reads: the schema that configs are checked against, the help that commands
/// print, and the text that documentation is made from.
struct ParamSpec {
  std::string key;           ///< dotted below the section, for instance "batch_size"
  ParamType type;            ///< what the value must be
  std::string default_text;  ///< the default in the override grammar: "1e-4", "null", "[q, v]"; "???" if required
  std::string range;         ///< numbers: "> 0", ">= 1", "[0, 1]", "(0, 1)", ""; choices: "a|b|c"
  std::string help;          ///< one sentence
  bool nullable = false;     ///< whether null is allowed
};

using ParamSpecs = std::vector<ParamSpec>;

}  // namespace mneme
