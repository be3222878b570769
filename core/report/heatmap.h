#pragma once

#include <string>
#include <vector>

#include "core/report/matrix.h"

namespace mneme::report {

/// An SVG picture of R for each panel, side by side: one row per moment, one column per task, darker is better. Cells
/// of the task just learnt are outlined, cells of tasks not learnt yet are pale, cells never evaluated are hatched; a
/// column at the right holds the mean over the tasks seen. The same panels always give the same bytes.
std::string heatmap_svg(const std::vector<MatrixPanel>& panels);

}  // namespace mneme::report
