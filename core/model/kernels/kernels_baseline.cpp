#include "core/model/kernels/table_impl.h"

namespace mneme::model::kernels {

extern const Table kBaselineTable;
const Table kBaselineTable = make_table("baseline");

}  // namespace mneme::model::kernels
