#include "core/report/heatmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/report/svg.h"

namespace mneme::report {

namespace {
// Lengths in pixels.
constexpr double kCellWidth = 46, kCellHeight = 34, kGap = 2;
constexpr double kMargin = 24, kTitle = 46, kBetween = 44, kLegend = 58, kLegendWidth = 400;

struct Colour {
  double r, g, b;
};

/// Light sand over green to deep blue: lightness falls evenly, so it reads in grey and with colour blindness.
constexpr std::array<Colour, 6> kScale{
    {{250, 246, 227}, {209, 232, 190}, {128, 200, 181}, {54, 154, 178}, {33, 98, 156}, {22, 42, 99}}};

Colour colour_of(double value) {
  const double position = std::clamp(value, 0.0, 1.0) * static_cast<double>(kScale.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(position), kScale.size() - 2);
  const double t = position - static_cast<double>(low);
  const Colour &a = kScale[low], &b = kScale[low + 1];
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}

/// Mixed with white, for what is not learnt yet.
Colour paler(const Colour& c) {
  constexpr double kKeep = 0.5;
  return {255 - kKeep * (255 - c.r), 255 - kKeep * (255 - c.g), 255 - kKeep * (255 - c.b)};
}

std::string hex(const Colour& c) {
  return fmt::format("#{:02x}{:02x}{:02x}", static_cast<int>(std::lround(c.r)), static_cast<int>(std::lround(c.g)),
                     static_cast<int>(std::lround(c.b)));
}

/// Dark or white text, whichever stands out.
const char* ink_on(const Colour& c) { return 0.299 * c.r + 0.587 * c.g + 0.114 * c.b > 140 ? kInk : "#ffffff"; }

/// Geometry that all panels share, so that equal cells lie at equal places.
struct Layout {
  double left = 0;  ///< width of the row labels
  double top = 0;   ///< height of the column labels
  double width = 0, height = 0;
  std::size_t tasks = 0, per_line = 1;
  bool slanted = false;
};

std::string row_label(const MatrixPanel& panel, std::size_t row) {
  return row == 0 ? "before training" : fmt::format("{}  {}", row, panel.tasks[row - 1]);
}

std::string subtitle(const MatrixPanel& panel) {
  return fmt::format("score in % on each task, {}", panel.n == 1 ? "one run" : fmt::format("mean of {} runs", panel.n));
}

Layout make_layout(const std::vector<MatrixPanel>& panels) {
  constexpr double kSine = 0.6, kCosine = 0.8, kWidest = 1180;
  Layout layout;
  double longest = 0;
  for (const MatrixPanel& panel : panels) {
    layout.tasks = std::max(layout.tasks, panel.tasks.size());
    for (std::size_t i = 0; i <= panel.tasks.size(); ++i)
      layout.left = std::max(layout.left, label_width(row_label(panel, i)) + 10);
    for (const std::string& task : panel.tasks) longest = std::max(longest, label_width(task));
  }
  layout.slanted = longest > kCellWidth;
  layout.top = layout.slanted ? kSine * std::max(longest, label_width("mean")) + 22 : 34;
  const double reach = std::max(kCosine * label_width("mean"), kCosine * longest - kCellWidth - 10);
  const double beyond = layout.slanted ? reach - kCellWidth / 2 : 22;
  layout.width = layout.left + (kCellWidth + kGap) * static_cast<double>(layout.tasks + 1) + 10 + beyond;
  for (const MatrixPanel& panel : panels)
    layout.width = std::max(
        {layout.width, layout.left + label_width(subtitle(panel)), layout.left + 1.5 * label_width(panel.title)});
  layout.height = kTitle + layout.top + (kCellHeight + kGap) * static_cast<double>(layout.tasks + 1);
  const double fitting = std::floor((kWidest + kBetween) / (layout.width + kBetween));
  layout.per_line = std::min(panels.size(), static_cast<std::size_t>(std::max(1.0, fitting)));
  return layout;
}

std::string cell(double x, double y, double value, bool seen, bool current) {
  if (std::isnan(value))
    return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"3\" fill=\"url(#none)\"/>\n", x,
                       y, kCellWidth, kCellHeight);
  const Colour colour = seen ? colour_of(value) : paler(colour_of(value));
  std::string out = fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"3\" fill=\"{}\"{}/>\n",
                                x, y, kCellWidth, kCellHeight, hex(colour),
                                current ? fmt::format(" stroke=\"{}\" stroke-width=\"2\"", kInk) : "");
  const char* ink = seen ? ink_on(colour) : kSoftInk;
  out += text(x + kCellWidth / 2, y + kCellHeight / 2 + 4.5, fmt::format("text-anchor=\"middle\" fill=\"{}\"", ink),
              fmt::format("{:.0f}", value * 100));
  return out;
}

std::string column_label(const Layout& layout, double x, double y, const std::string& label, const char* style) {
  if (!layout.slanted) return text(x, y, fmt::format("text-anchor=\"middle\" {}", style), label);
  return text(x - 6, y, fmt::format("{} transform=\"rotate(-37 {:.1f} {:.1f})\"", style, x - 6, y), label);
}

std::string draw_panel(const MatrixPanel& panel, const Layout& layout, double x, double y) {
  std::string out = text(x + layout.left, y + 16, fmt::format("class=\"title\" fill=\"{}\"", kInk), panel.title);
  out += text(x + layout.left, y + 33, fmt::format("fill=\"{}\"", kSoftInk), subtitle(panel));
  const double left = x + layout.left, top = y + kTitle + layout.top;
  const std::size_t count = panel.tasks.size();
  const std::string soft = fmt::format("fill=\"{}\"", kSoftInk), strong = fmt::format("fill=\"{}\"", kInk);
  const auto column_x = [&](std::size_t j) {
    return left + (kCellWidth + kGap) * static_cast<double>(j) + (j == count ? 10 : 0);
  };
  for (std::size_t j = 0; j < count; ++j)
    out += column_label(layout, column_x(j) + kCellWidth / 2, top - 8, panel.tasks[j], strong.c_str());
  out += column_label(layout, column_x(count) + kCellWidth / 2, top - 8, "mean", soft.c_str());
  out += text(left - 10, top - 8, fmt::format("text-anchor=\"end\" {}", soft), "after task");
  for (std::size_t i = 0; i <= count; ++i) {
    const double row_y = top + (kCellHeight + kGap) * static_cast<double>(i);
    out += text(left - 10, row_y + kCellHeight / 2 + 4.5, fmt::format("text-anchor=\"end\" {}", i == 0 ? soft : strong),
                row_label(panel, i));
    for (std::size_t j = 0; j < count; ++j) out += cell(column_x(j), row_y, panel.mean[i][j], j < i, j + 1 == i);
    if (const double mean = mean_of_seen(panel, i); !std::isnan(mean))
      out += text(column_x(count) + kCellWidth / 2, row_y + kCellHeight / 2 + 4.5,
                  fmt::format("text-anchor=\"middle\" class=\"strong\" fill=\"{}\"", kInk),
                  fmt::format("{:.0f}", mean * 100));
  }
  return out;
}

bool has_gaps(const std::vector<MatrixPanel>& panels) {
  for (const MatrixPanel& panel : panels)
    for (const auto& row : panel.mean)
      if (std::any_of(row.begin(), row.end(), [](double value) { return std::isnan(value); })) return true;
  return false;
}

std::string swatch(double x, double y, const std::string& fill, bool outlined) {
  return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"16\" height=\"12\" rx=\"3\" fill=\"{}\"{}/>\n", x, y,
                     fill, outlined ? fmt::format(" stroke=\"{}\" stroke-width=\"2\"", kInk) : "");
}

/// The colours above, what the marks of cells mean below.
std::string draw_legend(double x, double y, bool gaps) {
  constexpr double kLength = 150;
  const std::string soft = fmt::format("fill=\"{}\"", kSoftInk);
  std::string out = text(x, y + 10, soft, "0 %");
  out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"12\" rx=\"3\" fill=\"url(#scale)\"/>\n",
                     x + 28, y, kLength);
  out += text(x + kLength + 36, y + 10, soft, "100 %");
  out += text(x + 240, y + 10, soft, "mean: of the tasks learnt");
  const double second = y + 26;
  out += swatch(x + 1, second, hex(colour_of(0.5)), true);
  out += text(x + 26, second + 10, soft, "just learnt");
  out += swatch(x + 112, second, hex(paler(colour_of(0.5))), false);
  out += text(x + 136, second + 10, soft, "not learnt yet");
  if (!gaps) return out;
  out += swatch(x + 240, second, "url(#none)", false);
  return out + text(x + 264, second + 10, soft, "not evaluated");
}

std::string definitions() {
  std::string stops;
  for (std::size_t i = 0; i < kScale.size(); ++i)
    stops += fmt::format("<stop offset=\"{:.0f}%\" stop-color=\"{}\"/>",
                         100.0 * static_cast<double>(i) / (kScale.size() - 1), hex(kScale[i]));
  return fmt::format(
      "<defs><linearGradient id=\"scale\">{}</linearGradient>"
      "<pattern id=\"none\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
      "<rect width=\"6\" height=\"6\" fill=\"#f4f5f6\"/><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"#dde1e5\" "
      "stroke-width=\"2\"/></pattern></defs>\n"
      "{}",
      stops, svg_style());
}
}  // namespace

std::string heatmap_svg(const std::vector<MatrixPanel>& panels) {
  const Layout layout = make_layout(panels);
  const std::size_t lines = (panels.size() + layout.per_line - 1) / layout.per_line;
  const auto columns = static_cast<double>(layout.per_line);
  const double panels_width = columns * layout.width + (columns - 1) * kBetween;
  const double width = 2 * kMargin + std::max(panels_width, layout.left + kLegendWidth);
  const double height = 2 * kMargin + static_cast<double>(lines) * (layout.height + kBetween) - kBetween + kLegend;
  std::string out = svg_start(width, height, "Scores on each task after each task", definitions());
  for (std::size_t i = 0; i < panels.size(); ++i)
    out += draw_panel(panels[i], layout, kMargin + static_cast<double>(i % layout.per_line) * (layout.width + kBetween),
                      kMargin + static_cast<double>(i / layout.per_line) * (layout.height + kBetween));
  out += draw_legend(kMargin + layout.left, height - kMargin - 38, has_gaps(panels));
  return out + "</svg>\n";
}

}  // namespace mneme::report
