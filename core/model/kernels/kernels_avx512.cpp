#if defined(__x86_64__)
#include "core/model/kernels/table_impl.h"

namespace mneme::model::kernels {

extern const Table kAvx512Table;
const Table kAvx512Table = make_table("avx512");

}  // namespace mneme::model::kernels
#endif
