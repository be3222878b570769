#pragma once

#include <string>

namespace mneme {

/// What this program was built from and with; goes into every record.
struct BuildInfo {
  std::string version;     ///< program version, for instance "0.1.0"
  std::string git_commit;  ///< 12 hex digits, "" outside a checkout
  std::string compiler;    ///< name and version
};
const BuildInfo& build_info();

/// The processor's model name, "" if the system does not tell.
std::string cpu_name();

}  // namespace mneme
