#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace mneme {

/// A regular expression in the syntax of Perl and Python. Immutable, usable by several threads at once.
class Pattern {
 public:
  /// Throws Error naming the pattern and the place of the mistake.
  explicit Pattern(const std::string& expression);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// Whether the whole text matches. Throws Error where matching would take too long.
  bool matches_whole(std::string_view text) const;

 private:
  struct Code;
  std::string expression_;
  std::unique_ptr<Code> code_;
};

}  // namespace mneme
