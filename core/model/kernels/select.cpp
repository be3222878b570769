#include <cstdlib>
#include <string_view>

#include "core/model/kernels/kernels.h"

namespace mneme::model::kernels {

extern const Table kBaselineTable;
#if defined(__x86_64__)
extern const Table kAvx512Table;
extern const Table kAvx2Table;
#endif

Tables available_tables() {
  Tables tables{.all = {}, .count = 0};
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    tables.all[tables.count++] = &kAvx512Table;
  if (avx2) tables.all[tables.count++] = &kAvx2Table;
#endif
  tables.all[tables.count++] = &kBaselineTable;
  return tables;
}

const Table& table() {
  static const Table* const chosen = [] {
    const Tables tables = available_tables();
    const char* wanted = std::getenv("MNEME_CPU");
    for (int i = 0; wanted != nullptr && i < tables.count; ++i)
      if (std::string_view(tables.all[i]->name) == wanted) return tables.all[i];
    return tables.all[0];
  }();
  return *chosen;
}

}  // namespace mneme::model::kernels
