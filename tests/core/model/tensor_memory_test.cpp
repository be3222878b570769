#include "core/model/tensor_memory.h"

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace mneme::model;

namespace {
void fill(void* data, std::size_t bytes, int value) { std::memset(data, value, bytes); }
bool holds(const void* data, std::size_t bytes, int value) {
  const auto* byte = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < bytes; ++i)
    if (byte[i] != value) return false;
  return true;
}
}  // namespace

TEST_CASE("a freed large block serves the next tensor of its size", "[memory]") {
  auto& memory = tensor_memory();
  const std::size_t bytes = 3 * kLargeTensor + 5;
  c10::DataPtr first = memory.allocate(bytes);
  fill(first.get(), bytes, 1);
  const std::size_t before = waiting_tensor_memory();
  const void* const place = first.get();
  first.clear();
  CHECK(waiting_tensor_memory() >= before + bytes);
  const c10::DataPtr again = memory.allocate(bytes);
  CHECK(again.get() == place);
  CHECK(waiting_tensor_memory() == before);
}

TEST_CASE("a freed block of about the size is brought to it, and may be written to its new end", "[memory]") {
  auto& memory = tensor_memory();
  const auto take = [&](std::size_t bytes) {
    c10::DataPtr block = memory.allocate(bytes);
    fill(block.get(), bytes, 2);
    CHECK(holds(block.get(), bytes, 2));
    return block;
  };
  for (const std::size_t bytes : {kLargeTensor + 4096, 8 * kLargeTensor, 33 * kLargeTensor + 123}) {
    take(bytes).clear();
    const std::size_t waiting = waiting_tensor_memory();
    c10::DataPtr larger = take(bytes + bytes / 3);
    CHECK(waiting_tensor_memory() < waiting);
    larger.clear();
    c10::DataPtr smaller = take(bytes - bytes / 8);
    smaller.clear();
  }
}

TEST_CASE("small tensors, empty ones and large ones lie at multiples of 64 and keep their bytes", "[memory]") {
  auto& memory = tensor_memory();
  std::vector<c10::DataPtr> blocks;
  const std::vector<std::size_t> sizes = {
      0, 1, 4096, kLargeTensor - 1, kLargeTensor, kLargeTensor + 1, 9 * kLargeTensor + 4097};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    blocks.push_back(memory.allocate(sizes[i]));
    CHECK(reinterpret_cast<std::uintptr_t>(blocks.back().get()) % 64 == 0);
    if (sizes[i] > 0) fill(blocks.back().get(), sizes[i], static_cast<int>(i));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) CHECK(holds(blocks[i].get(), sizes[i], static_cast<int>(i)));
}

TEST_CASE("no more is held than was ever in use, but for what may be spare", "[memory]") {
  auto& memory = tensor_memory();
  const std::size_t bytes = 4 * kSpareTensors;
  c10::DataPtr most = memory.allocate(bytes);  // more than other cases use at once
  most.clear();
  CHECK(waiting_tensor_memory() >= bytes);
  std::vector<c10::DataPtr> blocks;
  std::size_t used = 0;
  for (std::size_t size = kLargeTensor; used + size <= bytes; size = size * 3 / 2) {
    blocks.push_back(memory.allocate(size));
    used += size;
    CHECK(used + waiting_tensor_memory() <= bytes + 2 * kSpareTensors);
  }
}

TEST_CASE("what the system cannot give is an error", "[memory]") {
  CHECK_THROWS_WITH(tensor_memory().allocate(std::size_t{1} << 60), Catch::Matchers::Contains("can't allocate memory"));
}

TEST_CASE("raw pointers are freed by the same way, whoever made them", "[memory]") {
  auto& memory = tensor_memory();
  for (const std::size_t bytes : {std::size_t{64}, 2 * kLargeTensor}) {
    void* const data = memory.raw_allocate(bytes);
    fill(data, bytes, 3);
    memory.raw_deallocate(data);
  }
  CHECK_NOTHROW(memory.raw_deallocate(nullptr));
}

TEST_CASE("threads share the blocks", "[memory]") {
  std::vector<int> faults(4, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t, &faults] {
      const std::size_t bytes = kLargeTensor;
      for (int i = 0; i < 50; ++i) {
        const c10::DataPtr block = tensor_memory().allocate(bytes);
        fill(block.get(), bytes, t);
        if (!holds(block.get(), bytes, t)) ++faults[static_cast<std::size_t>(t)];
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(faults == std::vector<int>(4, 0));
}
