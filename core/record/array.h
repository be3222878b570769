#pragma once

#include <cstdint>
#include <vector>

namespace mneme::record {

/// A float64 array with its shape, row-major.
struct Array {
  std::vector<std::int64_t> shape;
  std::vector<double> values;
};

}  // namespace mneme::record
