#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"

namespace mneme::config {

/// Typed reading of a map with a memory of what was read: finish() makes keys that nothing read an error. Every error
/// names the position, the full key, what was found and what was expected. Without a default a key must be there.
class Section {
 public:
  /// \param path  of the map, for messages ("train.optimizer")
  explicit Section(const Node& map, std::string path = "");

  /// Whether a key is there; it counts as read only if it is null.
  bool has(std::string_view key) const;
  bool is_null(std::string_view key) const;

  bool flag(std::string_view key, std::optional<bool> fallback = {}) const;
  std::int64_t int64(std::string_view key, std::optional<std::int64_t> fallback = {}) const;
  double real(std::string_view key, std::optional<double> fallback = {}) const;
  std::string text(std::string_view key, std::optional<std::string> fallback = {}) const;
  /// A text that must be one of the choices.
  std::string choice(std::string_view key, const std::vector<std::string>& choices,
                     std::optional<std::string> fallback = {}) const;
  std::vector<std::string> texts(std::string_view key, std::optional<std::vector<std::string>> fallback = {}) const;
  std::vector<std::int64_t> int64s(std::string_view key, std::optional<std::vector<std::int64_t>> fallback = {}) const;
  std::vector<double> reals(std::string_view key, std::optional<std::vector<double>> fallback = {}) const;
  /// Nothing if the key is absent or null.
  std::optional<std::int64_t> maybe_int64(std::string_view key) const;
  std::optional<double> maybe_real(std::string_view key) const;
  std::optional<std::string> maybe_text(std::string_view key) const;

  /// A map below; an absent or null one is empty. Its own finish() must be called, or this one's, which covers it.
  Section section(std::string_view key) const;
  /// The node itself, counted as read with all below it; null if absent.
  const Node& node(std::string_view key) const;

  std::string path_of(std::string_view key) const;
  /// "file:line:column: path.key: what" as a ConfigError.
  [[noreturn]] void fail(std::string_view key, const std::string& what) const;

  /// Throws ConfigError naming the first key that nothing read, its position and the nearest key that was asked for.
  void finish() const;

 private:
  struct Memory {
    std::set<std::string, std::less<>> asked;
    std::vector<Section> sections;
  };

  const Node* look_up(std::string_view key) const;
  const Node& need(std::string_view key) const;
  template <class T, class F>
  T value(std::string_view key, std::optional<T> fallback, F&& convert) const;
  template <class T, class F>
  std::vector<T> values(std::string_view key, std::optional<std::vector<T>> fallback, F&& convert) const;

  const Node* map_;
  std::string path_;
  std::shared_ptr<Memory> memory_;  // copies of a section remember together
};

}  // namespace mneme::config
