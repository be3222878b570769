#include "core/report/connectivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/report/svg.h"

namespace mneme::report {

namespace {
constexpr double kPlotWidth = 150, kPlotHeight = 84, kBetween = 34, kMargin = 24, kLabel = 44, kTitle = 40,
                 kLegend = 34;
constexpr std::size_t kPerLine = 4;
constexpr std::array<const char*, 2> kColours = {"#c2571a", "#21629c"};  // the earlier task, the later one

std::int64_t points(const record::Array& array) { return array.shape.empty() ? 0 : array.shape[0]; }
std::int64_t tasks(const record::Array& array) { return array.shape.size() < 2 ? 0 : array.shape[1]; }

double value(const record::Array& array, std::int64_t point, std::int64_t task) {
  return array.values[static_cast<std::size_t>(point * tasks(array) + task)];
}

/// Splits "connectivity/line/loss/3" into its stage, or 0.
std::int64_t stage_of(const std::string& name, const std::string& prefix) {
  std::int64_t stage = 0;
  if (name.compare(0, prefix.size(), prefix) != 0) return 0;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), stage);
  return stage;
}

/// The highest loss that a panel shows, so that its paths can be compared.
double highest_loss(const ConnectivityPanel& panel) {
  double high = 0;
  for (const ConnectivityPath& path : panel.paths)
    for (std::int64_t i = 0; i < points(path.loss); ++i)
      for (std::int64_t task = tasks(path.loss) - 2; task < tasks(path.loss); ++task)
        if (std::isfinite(value(path.loss, i, task))) high = std::max(high, value(path.loss, i, task));
  return high > 0 ? high : 1;
}

/// Where a plot lies, and what its upper edge stands for.
struct Frame {
  double x = 0, y = 0, high = 1;
};

std::string polyline(const record::Array& array, std::int64_t task, const Frame& frame, const std::string& style) {
  std::string at;
  const std::int64_t n = points(array);
  for (std::int64_t i = 0; i < n; ++i)
    at += fmt::format("{:.1f},{:.1f} ", frame.x + kPlotWidth * static_cast<double>(i) / static_cast<double>(n - 1),
                      frame.y + kPlotHeight * (1 - std::clamp(value(array, i, task) / frame.high, 0.0, 1.0)));
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke-width=\"1.8\" {}/>\n", at, style);
}

std::string plot(const ConnectivityPanel& panel, bool loss, double x, double y) {
  const double high = loss ? highest_loss(panel) : 1.0;
  std::string out =
      fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#dde1e5\"/>\n", x,
                  y, kPlotWidth, kPlotHeight);
  const std::string soft = fmt::format("text-anchor=\"end\" fill=\"{}\"", kSoftInk);
  out += text(x - 6, y + 10, soft, loss ? fmt::format("{:.2g}", high) : "100 %");
  out += text(x - 6, y + kPlotHeight, soft, "0");
  for (const ConnectivityPath& path : panel.paths) {
    const record::Array& array = loss ? path.loss : path.accuracy;
    const char* dashes = path.name == "line" ? "" : "stroke-dasharray=\"5 3\"";
    for (std::int64_t k = 0; k < 2; ++k)
      out += polyline(array, tasks(array) - 2 + k, {x, y, high},
                      fmt::format("stroke=\"{}\" {}", kColours[static_cast<std::size_t>(k)], dashes));
  }
  return out;
}

std::string legend(double x, double y) {
  std::string out;
  const auto entry = [&](double at, const char* style, const char* label) {
    out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\" stroke-width=\"1.8\" {3}/>\n",
                       at, y - 4, at + 26, style);
    out += text(at + 32, y, fmt::format("fill=\"{}\"", kSoftInk), label);
  };
  entry(x, fmt::format("stroke=\"{}\"", kColours[0]).c_str(), "earlier task");
  entry(x + 130, fmt::format("stroke=\"{}\"", kColours[1]).c_str(), "later task");
  entry(x + 250, fmt::format("stroke=\"{}\"", kSoftInk).c_str(), "line");
  entry(x + 330, fmt::format("stroke=\"{}\" stroke-dasharray=\"5 3\"", kSoftInk).c_str(), "curve");
  return out;
}
}  // namespace

double barrier(const ConnectivityPath& path) {
  const std::int64_t n = points(path.loss), last = tasks(path.loss) - 1;
  const auto mean = [&](std::int64_t i) { return (value(path.loss, i, last - 1) + value(path.loss, i, last)) / 2; };
  double highest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(i) / static_cast<double>(n - 1);
    highest = std::max(highest, mean(i) - ((1 - x) * mean(0) + x * mean(n - 1)));
  }
  return highest;
}

std::vector<ConnectivityPanel> connectivity_panels(const record::Record& record) {
  std::map<std::int64_t, ConnectivityPanel> panels;
  const std::vector<TaskInfo> infos = record.tasks();
  for (const char* path : {"line", "curve"}) {
    const std::string prefix = fmt::format("connectivity/{}/loss/", path);
    for (const std::string& name : record.array_names()) {
      const std::int64_t stage = stage_of(name, prefix);
      if (stage == 0) continue;
      ConnectivityPath found{path, record.array(name),
                             record.array(fmt::format("connectivity/{}/accuracy/{}", path, stage))};
      MNEME_CHECK(points(found.loss) >= 2 && tasks(found.loss) >= 2 && found.loss.shape == found.accuracy.shape,
                  "{}: array '{}' is no path of at least two points over at least two tasks", record.path().string(),
                  name);
      ConnectivityPanel& panel = panels[stage];
      panel.stage = stage;
      if (panel.tasks.empty())
        for (std::int64_t i = 0; i < tasks(found.loss); ++i) {
          const auto k = static_cast<std::size_t>(i);
          panel.tasks.push_back(k < infos.size() ? infos[k].name : fmt::format("stage {}", i + 1));
        }
      panel.paths.push_back(std::move(found));
    }
  }
  MNEME_CHECK(!panels.empty(),
              "{} holds no paths between minima; run a strategy with its probe on (strategy.probe=true)",
              record.path().string());
  std::vector<ConnectivityPanel> ordered;
  for (auto& [stage, panel] : panels) ordered.push_back(std::move(panel));
  return ordered;
}

std::string format_connectivity(const std::vector<ConnectivityPanel>& panels) {
  std::string out = "barrier between the minima of successive tasks, mean loss of the two in nats\n";
  for (const ConnectivityPanel& panel : panels) {
    out += fmt::format("{:>3}  {} to {}:", panel.stage, panel.tasks[panel.tasks.size() - 2], panel.tasks.back());
    for (const ConnectivityPath& path : panel.paths) out += fmt::format("  {} {:.3f}", path.name, barrier(path));
    out += "\n";
  }
  return out;
}

std::string connectivity_svg(const std::vector<ConnectivityPanel>& panels) {
  const std::size_t columns = std::min(panels.size(), kPerLine), lines = (panels.size() + kPerLine - 1) / kPerLine;
  constexpr double kPanelWidth = kLabel + kPlotWidth, kPanelHeight = kTitle + 2 * kPlotHeight + 22;
  const double width =
      std::max(2 * kMargin + static_cast<double>(columns) * (kPanelWidth + kBetween) - kBetween, 480.0);
  const double height = 2 * kMargin + static_cast<double>(lines) * (kPanelHeight + kBetween) - kBetween + kLegend;
  std::string out = svg_start(width, height, "Loss and accuracy between the minima of successive tasks", svg_style());
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const double x = kMargin + static_cast<double>(i % kPerLine) * (kPanelWidth + kBetween);
    const double y = kMargin + static_cast<double>(i / kPerLine) * (kPanelHeight + kBetween);
    out += text(x + kLabel, y + 14, fmt::format("class=\"strong\" fill=\"{}\"", kInk),
                fmt::format("{} → {}", panels[i].tasks[panels[i].tasks.size() - 2], panels[i].tasks.back()));
    out += text(x + kLabel, y + 30, fmt::format("fill=\"{}\"", kSoftInk), "loss, accuracy");
    out += plot(panels[i], true, x + kLabel, y + kTitle);
    out += plot(panels[i], false, x + kLabel, y + kTitle + kPlotHeight + 12);
  }
  return out + legend(kMargin + kLabel, height - kMargin) + "</svg>\n";
}

}  // namespace mneme::report
