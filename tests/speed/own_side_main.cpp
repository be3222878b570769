// speed_own_side JOB.json RESULT.json: see own_side.h; compare.py runs it.
#include <fmt/format.h>

#include <fstream>

#include "core/model/tensor_memory.h"
#include "tests/speed/own_side.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: speed_own_side JOB.json RESULT.json\n");
    return 2;
  }
  mneme::model::use_tensor_memory();  // as in mneme-run
  try {
    std::ifstream job(argv[1]);
    const nlohmann::json result = mneme::speed::run_job(nlohmann::json::parse(job));
    std::ofstream(argv[2]) << result.dump();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
