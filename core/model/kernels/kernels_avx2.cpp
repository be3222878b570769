#if defined(__x86_64__)
#include "core/model/kernels/table_impl.h"

namespace mneme::model::kernels {

extern const Table kAvx2Table;
const Table kAvx2Table = make_table("avx2");

}  // namespace mneme::model::kernels
#endif
