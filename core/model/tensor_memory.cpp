#include "core/model/tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>

namespace mneme::model {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20;

std::size_t round_up(std::size_t n, std::size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

struct Block {
  char* data = nullptr;
  std::size_t size = 0;  ///< whole pages
};

/// Pages from the system, those of whole huge pages as such; no data if it has none left.
Block map_pages(std::size_t size) {
  const std::size_t slack = size < kHugePage ? 0 : kHugePage;
  void* got = ::mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) return {};
  if (slack == 0) return {static_cast<char*>(got), size};
  const auto address = reinterpret_cast<std::uintptr_t>(got);
  const std::size_t before = round_up(address, kHugePage) - address;
  char* const data = static_cast<char*>(got) + before;
  if (before > 0) ::munmap(got, before);
  if (before < slack) ::munmap(data + size, slack - before);
  ::madvise(data, size / kHugePage * kHugePage, MADV_HUGEPAGE);
  return {data, size};
}

/// The block with its last pages taken away, or its pages moved to where more can follow. What it held is lost to both
/// sides alike: only pages that are new have to be cleared by the kernel.
Block resized(Block block, std::size_t size) {
  if (size <= block.size) {
    if (size < block.size) ::munmap(block.data + size, block.size - size);
    return {block.data, size};
  }
  const Block larger = map_pages(size);
  if (larger.data != nullptr)
    ::mremap(block.data, block.size, block.size, MREMAP_MAYMOVE | MREMAP_FIXED, larger.data);
  else
    ::munmap(block.data, block.size);
  return larger;
}

class LargeBlocks {
 public:
  /// \return nullptr if the system has no memory left
  void* take(std::size_t bytes) {
    const std::size_t size = round_up(bytes, kPage);
    const std::lock_guard lock(mutex_);
    Block block = reuse(size);
    if (block.data == nullptr) block = map_pages(size);
    if (block.data == nullptr) {
      shrink(0);
      block = map_pages(size);
    }
    if (block.data == nullptr) return nullptr;
    used_.emplace(block.data, size);
    used_bytes_ += size;
    most_used_ = std::max(most_used_, used_bytes_);
    shrink(most_used_ + kSpareTensors - used_bytes_);
    return block.data;
  }

  /// \return whether the block is one of these
  bool give_back(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(data);
    if (found == used_.end()) return false;
    waiting_.push_back({static_cast<char*>(data), found->second});
    waiting_bytes_ += found->second;
    used_bytes_ -= found->second;
    used_.erase(found);
    return true;
  }

  std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_bytes_;
  }

 private:
  /// A waiting block of this size, the last freed one since the caches may still hold it, or else the nearest in size
  /// brought to it; no data if none is near.
  Block reuse(std::size_t size) {
    auto nearest = waiting_.end();
    std::size_t distance = size / 2;
    for (auto block = waiting_.end(); block != waiting_.begin() && distance > 0;) {
      --block;
      const std::size_t apart = block->size > size ? block->size - size : size - block->size;
      if (apart >= distance) continue;
      distance = apart;
      nearest = block;
    }
    if (nearest == waiting_.end()) return {};
    const Block found = *nearest;
    waiting_bytes_ -= found.size;
    waiting_.erase(nearest);
    return resized(found, size);
  }

  /// Returns blocks to the system, the oldest first, until no more than so many bytes wait.
  void shrink(std::size_t bytes) {
    for (; waiting_bytes_ > bytes; waiting_.pop_front()) {
      ::munmap(waiting_.front().data, waiting_.front().size);
      waiting_bytes_ -= waiting_.front().size;
    }
  }

  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> used_;
  std::list<Block> waiting_;  ///< the oldest first
  std::size_t used_bytes_ = 0, most_used_ = 0, waiting_bytes_ = 0;
};

/// Never destroyed: tensors of static lifetime are freed later than any static object.
LargeBlocks& large_blocks() {
  static LargeBlocks& blocks = *new LargeBlocks;
  return blocks;
}

/// LibTorch hands any pointer of a CPU tensor to the current allocator's way of freeing, also one from before.
void release(void* data) {
  const bool whole_pages = reinterpret_cast<std::uintptr_t>(data) % kPage == 0;
  if (!whole_pages || !large_blocks().give_back(data)) c10::free_cpu(data);
}

class TensorMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* data = bytes < kLargeTensor ? nullptr : large_blocks().take(bytes);
    if (data == nullptr) data = c10::alloc_cpu(bytes);  // which throws where there is no memory
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

c10::Allocator& tensor_memory() {
  static TensorMemory& memory = *new TensorMemory;
  return memory;
}

std::size_t waiting_tensor_memory() { return large_blocks().waiting(); }

void use_tensor_memory() { c10::SetCPUAllocator(&tensor_memory(), 1); }

}  // namespace mneme::model
