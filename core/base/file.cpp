#include "core/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/base/error.h"

namespace mneme {
namespace fs = std::filesystem;

namespace {
[[noreturn]] void throw_system_error(const fs::path& path, std::string_view doing) {
  const int code = errno;
  throw Error(fmt::format("{}: cannot be {}: {}", path.string(), doing, std::strerror(code)));
}

/// Removes a half-written file before the error leaves: a full disk is not filled further.
[[noreturn]] void discard_and_throw(const fs::path& temporary, std::string_view doing) {
  const int code = errno;
  ::unlink(temporary.c_str());
  errno = code;
  throw_system_error(temporary, doing);
}

/// Closes a file descriptor on scope exit.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};
}  // namespace

std::string read_file(const fs::path& path) {
  if (fs::is_directory(path)) throw Error(fmt::format("{}: is a directory; expected a file", path.string()));
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw_system_error(path, "read");
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) throw_system_error(path, "read");
  return text;
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + fmt::format(".{}.{}.tmp", ::getpid(), ::gettid());
  {
    Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file.fd < 0) throw_system_error(temporary, "written");
    for (std::size_t done = 0; done < content.size();) {
      const ssize_t n = ::write(file.fd, content.data() + done, content.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) discard_and_throw(temporary, "written");
      done += static_cast<std::size_t>(n);
    }
    if (::fsync(file.fd) != 0) discard_and_throw(temporary, "written");
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) discard_and_throw(temporary, "renamed");
}

MappedFile::MappedFile(const fs::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) throw_system_error(path, "opened");
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) throw_system_error(path, "read");
  if (!S_ISREG(info.st_mode)) throw Error(fmt::format("{}: is not a regular file", path.string()));
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data_ == MAP_FAILED) throw_system_error(path, "mapped into memory");
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

fs::path cache_directory() {
  if (const char* own = std::getenv("MNEME_CACHE"); own != nullptr && *own != 0) return own;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != 0) return fs::path(xdg) / "mneme";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return fs::path(home) / ".cache/mneme";
  return fs::temp_directory_path() / "mneme-cache";
}

fs::path program_directory() { return fs::read_symlink("/proc/self/exe").parent_path(); }

}  // namespace mneme
