#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::config {

struct YamlMark {
  int line = 1;
  int column = 1;
};

struct YamlToken {
  enum class Type {
    kStreamEnd,
    kDirective,
    kDocumentStart,
    kDocumentEnd,
    kBlockListStart,
    kBlockMapStart,
    kBlockEnd,
    kFlowListStart,
    kFlowListEnd,
    kFlowMapStart,
    kFlowMapEnd,
    kEntry,
    kFlowEntry,
    kKey,
    kValue,
    kAlias,
    kAnchor,
    kTag,
    kScalar,
  };
  Type type = Type::kStreamEnd;
  std::string text;    ///< of a scalar, anchor or alias; the suffix of a tag; the name of a directive
  std::string handle;  ///< of a tag: "!", "!!", "!name!" or "" where there is none; of a directive: its values
  bool plain = false;  ///< a scalar without quotes
  YamlMark mark;
};

/// Splits a YAML 1.1 document into tokens by PyYAML's rules: what may be a key without '?', what ends a plain scalar,
/// where tabs are refused. (yaml-cpp reads YAML 1.2, which differs in just these.) Throws ConfigError with
/// name:line:column.
std::vector<YamlToken> scan_yaml(std::string_view text, const std::string& name);

}  // namespace mneme::config
