#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/report/format.h"

namespace mneme::report {

/// A table as texts: what text, Markdown and LaTeX have in common.
struct GridCell {
  std::string mean, std;  ///< std is "" where undefined
  bool best = false;
};
struct GridRow {
  std::vector<std::string> keys;
  std::vector<GridCell> cells;
  std::vector<std::string> marks;  ///< of the notes that concern this row
};
struct GridNote {
  std::string mark;  ///< "" where the note concerns the whole table
  std::string text;
};
struct Grid {
  std::size_t key_columns = 0;
  std::vector<std::pair<std::string, std::size_t>> groups;  ///< label and number of columns below it; may be empty
  std::vector<std::string> header;                          ///< keys, then one per cell
  std::vector<int> directions;  ///< per cell column: 1 higher is better, -1 lower, 0 neither
  std::vector<GridRow> rows;
  std::vector<GridNote> notes;
  std::string caption;
};

Grid make_grid(const Table& table, const FormatOptions& options);
std::string render_text(const Grid& grid);
std::string render_markdown(const Grid& grid);
std::string render_latex(const Grid& grid);

/// Marks of notes: a, b, …, z, aa, ab, …
std::string note_mark(std::size_t index);

/// Columns that a UTF-8 text takes on a terminal: its code points but for combining marks, wide ones counted twice.
std::size_t display_width(const std::string& text);

}  // namespace mneme::report
