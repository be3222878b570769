#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/report/grid.h"

namespace mneme::report {

namespace {
std::string replace_each(const std::string& text, const std::map<char, std::string>& with) {
  std::string out;
  for (const char c : text) {
    const auto found = with.find(c);
    out += found == with.end() ? std::string(1, c) : found->second;
  }
  return out;
}

std::string escape_markdown(const std::string& text) {
  return replace_each(text, {{'|', "\\|"}, {'*', "\\*"}, {'_', "\\_"}, {'\n', " "}, {'<', "&lt;"}});
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

std::string escape_latex(const std::string& text) {
  const std::string escaped = replace_each(text, {{'\\', "\\textbackslash{}"},
                                                  {'{', "\\{"},
                                                  {'}', "\\}"},
                                                  {'_', "\\_"},
                                                  {'%', "\\%"},
                                                  {'&', "\\&"},
                                                  {'#', "\\#"},
                                                  {'$', "\\$"},
                                                  {'~', "\\textasciitilde{}"},
                                                  {'^', "\\textasciicircum{}"},
                                                  {'\n', " "}});
  return replace_all(replace_all(replace_all(escaped, "–", "--"), "±", "$\\pm$"), "…", "\\dots{}");
}

std::string markdown_cell(const GridCell& cell) {
  const std::string text = cell.std.empty() ? cell.mean : fmt::format("{} ± {}", cell.mean, cell.std);
  return cell.best ? fmt::format("**{}**", text) : text;
}

std::string latex_cell(const GridCell& cell) {
  const std::string minus = cell.mean.starts_with('-') ? "$-$" : "";
  const std::string mean = minus + escape_latex(cell.mean.substr(minus.empty() ? 0 : 1)), std = escape_latex(cell.std);
  const std::string shown = cell.best ? fmt::format("\\textbf{{{}}}", mean) : mean;
  return std.empty() ? shown : fmt::format("{} {{\\scriptsize $\\pm$ {}}}", shown, std);
}

/// Labels over their columns, and a rule below each.
std::string latex_groups(const Grid& grid) {
  std::string labels(grid.key_columns > 1 ? fmt::format("\\multicolumn{{{}}}{{l}}{{}}", grid.key_columns) : "");
  std::string rules;
  std::size_t column = grid.key_columns + 1;
  for (const auto& [label, count] : grid.groups) {
    labels += fmt::format(" & \\multicolumn{{{}}}{{c}}{{{}}}", count, escape_latex(label));
    rules += fmt::format("\\cmidrule(lr){{{}-{}}}", column, column + count - 1);
    column += count;
  }
  return fmt::format("{} \\\\\n{}\n", labels, rules);
}

std::string latex_arrow(int direction) {
  return direction > 0 ? " $\\uparrow$" : direction < 0 ? " $\\downarrow$" : "";
}
}  // namespace

std::string render_markdown(const Grid& grid) {
  std::vector<std::string> header, rule;
  for (std::size_t k = 0; k < grid.key_columns; ++k) {
    header.push_back(escape_markdown(grid.header[k]));
    rule.emplace_back(":---");
  }
  std::size_t column = grid.key_columns;
  for (std::size_t c = 0, group = 0, within = 0; c < grid.directions.size(); ++c, ++column) {
    const int direction = grid.directions[c];
    std::string name = escape_markdown(grid.header[column]);
    if (!grid.groups.empty()) {
      name = fmt::format("{}: {}", escape_markdown(grid.groups[group].first), name);
      if (++within == grid.groups[group].second) ++group, within = 0;
    }
    header.push_back(name + (direction > 0 ? " ↑" : direction < 0 ? " ↓" : ""));
    rule.emplace_back("---:");
  }
  std::string out = fmt::format("| {} |\n| {} |\n", fmt::join(header, " | "), fmt::join(rule, " | "));
  for (const GridRow& row : grid.rows) {
    std::vector<std::string> cells;
    for (const std::string& key : row.keys) cells.push_back(escape_markdown(key));
    if (!row.marks.empty()) cells.back() += fmt::format(" <sup>{}</sup>", fmt::join(row.marks, ","));
    for (const GridCell& cell : row.cells) cells.push_back(markdown_cell(cell));
    out += fmt::format("| {} |\n", fmt::join(cells, " | "));
  }
  out += fmt::format("\n{}; best in bold.\n", grid.caption);
  for (const GridNote& note : grid.notes)
    out += fmt::format("- {}{}\n", note.mark.empty() ? "" : fmt::format("<sup>{}</sup> ", note.mark),
                       escape_markdown(note.text));
  return out;
}

std::string render_latex(const Grid& grid) {
  std::string out = fmt::format("% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{}{}}}\n\\toprule\n",
                                std::string(grid.key_columns, 'l'), std::string(grid.directions.size(), 'r'));
  if (!grid.groups.empty()) out += latex_groups(grid);
  std::vector<std::string> header;
  for (std::size_t i = 0; i < grid.header.size(); ++i)
    header.push_back(escape_latex(grid.header[i]) +
                     (i < grid.key_columns ? "" : latex_arrow(grid.directions[i - grid.key_columns])));
  out += fmt::format("{} \\\\\n\\midrule\n", fmt::join(header, " & "));
  for (const GridRow& row : grid.rows) {
    std::vector<std::string> cells;
    for (const std::string& key : row.keys) cells.push_back(escape_latex(key));
    if (!row.marks.empty()) cells.back() += fmt::format("\\textsuperscript{{{}}}", fmt::join(row.marks, ","));
    for (const GridCell& cell : row.cells) cells.push_back(latex_cell(cell));
    out += fmt::format("{} \\\\\n", fmt::join(cells, " & "));
  }
  out += fmt::format("\\bottomrule\n\\end{{tabular}}\n\n{{\\footnotesize {}.", escape_latex(grid.caption));
  for (const GridNote& note : grid.notes)
    out += fmt::format("\\\\\n{}{}.", note.mark.empty() ? "" : fmt::format("\\textsuperscript{{{}}}", note.mark),
                       escape_latex(note.text));
  return out + "\\par}\n";
}

}  // namespace mneme::report
