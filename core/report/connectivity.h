#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/record/array.h"
#include "core/record/reader.h"

namespace mneme::report {

/// A path from the minimum of one task to that of the next.
struct ConnectivityPath {
  std::string name;        ///< "line" or "curve"
  record::Array loss;      ///< [points, tasks so far], nats
  record::Array accuracy;  ///< [points, tasks so far], 0 to 1
};

/// The paths between the minima of two successive stages.
struct ConnectivityPanel {
  std::int64_t stage = 0;          ///< index from 1 of the later one
  std::vector<std::string> tasks;  ///< names of the tasks so far, in training order
  std::vector<ConnectivityPath> paths;
};

/// How much higher the mean loss of the last two tasks climbs on a path than the straight line between its ends, nats:
/// 0 where the minima are connected.
double barrier(const ConnectivityPath& path);

/// What a record holds under connectivity/…, by stage. Throws Error if it holds nothing.
std::vector<ConnectivityPanel> connectivity_panels(const record::Record& record);

/// The barriers of all panels, for people.
std::string format_connectivity(const std::vector<ConnectivityPanel>& panels);

/// An SVG picture: for each panel the loss and the accuracy of the earlier and the later task along each path.
std::string connectivity_svg(const std::vector<ConnectivityPanel>& panels);

}  // namespace mneme::report
