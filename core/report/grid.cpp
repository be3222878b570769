#include "core/report/grid.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>

namespace mneme::report {

namespace {
std::string padding(std::size_t width, const std::string& text) {
  const std::size_t taken = display_width(text);
  return std::string(width > taken ? width - taken : 0, ' ');
}
std::string pad_right(const std::string& text, std::size_t width) { return text + padding(width, text); }
std::string pad_left(const std::string& text, std::size_t width) { return padding(width, text) + text; }

std::string marks_of(const GridRow& row) {
  return row.marks.empty() ? "" : fmt::format("[{}]", fmt::join(row.marks, ","));
}

std::string arrow(int direction) { return direction > 0 ? " ↑" : direction < 0 ? " ↓" : ""; }

/// Texts of one cell column, aligned at the ± sign.
std::vector<std::string> aligned_column(const Grid& grid, std::size_t column) {
  std::size_t mean = 0, std = 0;
  bool best = false;
  for (const GridRow& row : grid.rows) {
    mean = std::max(mean, display_width(row.cells[column].mean));
    std = std::max(std, display_width(row.cells[column].std));
    best = best || row.cells[column].best;
  }
  std::vector<std::string> out;
  for (const GridRow& row : grid.rows) {
    const GridCell& cell = row.cells[column];
    std::string text = pad_left(cell.mean, mean);
    if (!cell.std.empty()) text += " ± " + pad_left(cell.std, std);
    if (cell.best) text += "*";
    out.push_back(pad_right(text, mean + (std > 0 ? std + 3 : 0) + (best ? 1 : 0)));
  }
  return out;
}

struct TextColumn {
  std::string header;
  std::vector<std::string> cells;
  bool key = false;
  std::size_t width() const {
    std::size_t widest = display_width(header);
    for (const std::string& cell : cells) widest = std::max(widest, display_width(cell));
    return widest;
  }
};

std::vector<TextColumn> text_columns(const Grid& grid) {
  std::vector<TextColumn> columns;
  for (std::size_t k = 0; k < grid.key_columns; ++k) {
    TextColumn column{grid.header[k], {}, true};
    for (const GridRow& row : grid.rows) column.cells.push_back(row.keys[k]);
    columns.push_back(std::move(column));
  }
  for (std::size_t c = 0; c < grid.directions.size(); ++c)
    columns.push_back({grid.header[grid.key_columns + c] + arrow(grid.directions[c]), aligned_column(grid, c), false});
  TextColumn marks{"", {}, true};
  for (const GridRow& row : grid.rows) marks.cells.push_back(marks_of(row));
  if (marks.width() > 0) columns.push_back(std::move(marks));
  return columns;
}

std::string trimmed(std::string line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "\n";
}

/// The line of group labels above the header, each centred over its columns; widens the last one where it must.
std::string group_line(const Grid& grid, const std::vector<std::size_t>& widths) {
  std::string line;
  std::size_t column = 0;
  for (; column < grid.key_columns; ++column) line += std::string(widths[column] + 2, ' ');
  for (const auto& [label, count] : grid.groups) {
    std::size_t width = 2 * (count - 1);
    for (std::size_t i = 0; i < count; ++i) width += widths[column++];
    const std::size_t free = width - std::min(width, display_width(label) + 2), left = free / 2;
    std::string rule;
    for (std::size_t i = 0; i < left; ++i) rule += "─";
    rule += " " + label + " ";
    for (std::size_t i = left; i < free; ++i) rule += "─";
    line += pad_right(rule, width + 2);
  }
  return trimmed(line);
}
}  // namespace

std::string note_mark(std::size_t index) {
  std::string mark;
  for (std::size_t n = index + 1; n > 0; n = (n - 1) / 26)
    mark.insert(mark.begin(), static_cast<char>('a' + (n - 1) % 26));
  return mark;
}

std::size_t display_width(const std::string& text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    std::uint32_t point = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k)
      point = point << 6 | (static_cast<std::uint8_t>(text[i + k]) & 0x3Fu);
    const bool combining = point >= 0x300 && point <= 0x36F;
    const bool wide = (point >= 0x1100 && point <= 0x115F) || (point >= 0x2E80 && point <= 0xA4CF) ||
                      (point >= 0xAC00 && point <= 0xD7A3) || (point >= 0xF900 && point <= 0xFAFF) ||
                      (point >= 0xFF00 && point <= 0xFF60) || point >= 0x1F300;
    width += combining ? 0 : wide ? 2 : 1;
    i += length;
  }
  return width;
}

std::string render_text(const Grid& grid) {
  std::vector<TextColumn> columns = text_columns(grid);
  std::vector<std::size_t> widths;
  for (const TextColumn& column : columns) widths.push_back(column.width());
  std::string out = grid.groups.empty() ? "" : group_line(grid, widths);
  const auto line = [&](auto&& text_of) {
    std::string text;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const std::string cell = text_of(columns[c]);
      text += (columns[c].key ? pad_right(cell, widths[c]) : pad_left(cell, widths[c])) + "  ";
    }
    out += trimmed(text);
  };
  line([](const TextColumn& column) { return column.header; });
  std::string rule;
  for (std::size_t c = 0; c < columns.size() && !columns[c].header.empty(); ++c) {
    for (std::size_t i = 0; i < widths[c]; ++i) rule += "─";
    rule += "  ";
  }
  out += trimmed(rule);
  for (std::size_t r = 0; r < grid.rows.size(); ++r) line([&](const TextColumn& column) { return column.cells[r]; });
  const auto is_best = [](const GridRow& row) {
    return std::any_of(row.cells.begin(), row.cells.end(), [](const GridCell& cell) { return cell.best; });
  };
  const bool stars = std::any_of(grid.rows.begin(), grid.rows.end(), is_best);
  out += fmt::format("\n{}{}\n", grid.caption, stars ? "; * best" : "");
  for (const GridNote& note : grid.notes)
    out += fmt::format("{}{}\n", note.mark.empty() ? "" : fmt::format("[{}] ", note.mark), note.text);
  return out;
}

}  // namespace mneme::report
