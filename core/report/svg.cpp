#include "core/report/svg.h"

#include <fmt/format.h>

#include "core/report/grid.h"

namespace mneme::report {

namespace {
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}
}  // namespace

std::string svg_start(double width, double height, const std::string& title, const std::string& definitions) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "role=\"img\">\n<title>{2}</title>\n{3}"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" rx=\"8\" fill=\"#ffffff\"/>\n",
      width, height, escape(title), definitions);
}

std::string svg_style() {
  return "<style>text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
         ".title{font-size:16px;font-weight:600}.strong{font-weight:600}</style>\n";
}

std::string text(double x, double y, const std::string& attributes, const std::string& content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, escape(content));
}

double label_width(const std::string& text) {
  constexpr double kCharacter = 6.7;  // mean advance of the 12 px font
  return kCharacter * static_cast<double>(display_width(text));
}

}  // namespace mneme::report
