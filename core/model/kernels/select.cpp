#include <cstdlib>
#include <string_view>

#include "core/model/kernels/kernels.h"
#include "core/model/kernels/matrix_unit.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mneme::model::kernels {

extern const Table kBaselineTable;
#if defined(__x86_64__)
extern const Table kAvx512Table;
extern const Table kAvx2Table;
extern const MatrixUnit kAmxUnit;
#endif

namespace {

/// Whether the CPU has a matrix unit for bf16 and the system lets this process use it.
bool has_matrix_unit() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAvx512Bf16 = 1u << 5;
  constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAmxBf16) == 0 || (d & kAmxTile) == 0) return false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & kAvx512Bf16) == 0) return false;
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

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

const MatrixUnit* matrix_unit() {
#if defined(__x86_64__)
  static const MatrixUnit* const chosen = [] {
    const char* wanted = std::getenv("MNEME_CPU");
    const bool allowed = wanted == nullptr || std::string_view(wanted) == "amx";
    return allowed && &table() == &kAvx512Table && has_matrix_unit() ? &kAmxUnit : nullptr;
  }();
  return chosen;
#else
  return nullptr;
#endif
}

}  // namespace mneme::model::kernels
