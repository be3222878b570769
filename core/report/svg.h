#pragma once

#include <string>

namespace mneme::report {

// What the pictures share. Lengths are pixels; equal arguments give equal bytes.

inline constexpr const char* kInk = "#1b2733";      ///< lines and text
inline constexpr const char* kSoftInk = "#5d6b78";  ///< what explains

/// The opening tag, a title for screen readers, definitions as they are, and a white ground.
std::string svg_start(double width, double height, const std::string& title, const std::string& definitions);
/// Font of all texts; classes "title" and "strong".
std::string svg_style();
/// A text element; its content is escaped, its attributes are not.
std::string text(double x, double y, const std::string& attributes, const std::string& content);
/// About how wide a label is.
double label_width(const std::string& text);

}  // namespace mneme::report
