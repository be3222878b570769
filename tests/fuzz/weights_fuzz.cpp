// libFuzzer target for weight files. The first byte chooses the reader; only Error may leave it, and what it gives must
// be readable to its last element.
#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "core/base/error.h"
#include "core/model/safetensors.h"
#include "core/model/torch_archive.h"

using namespace mneme;

namespace {
/// The input as a file in memory, since the readers map files.
struct MemoryFile {
  int descriptor = ::memfd_create("weights", 0);
  MemoryFile(const std::uint8_t* data, std::size_t size) {
    if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { ::close(descriptor); }
  std::filesystem::path path() const { return fmt::format("/proc/self/fd/{}", descriptor); }
};

void touch(const std::map<std::string, at::Tensor>& tensors) {
  for (const auto& [name, tensor] : tensors)
    if (tensor.numel() > 0) tensor.flatten()[-1].item();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const MemoryFile file(data + 1, size - 1);
  try {
    if (data[0] % 2 == 0) {
      touch(model::read_torch_archive(file.path()));
    } else {
      touch(model::read_safetensors(file.path()));
      model::read_safetensors_metadata(file.path());
    }
  } catch (const Error&) {
  }
  return 0;
}
