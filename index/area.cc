#include "index/area.h"

#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "index/check.h"

namespace stele::index {
namespace {

constexpr size_t kHugePage = 2u << 20;

char* AlignedUp(void* start, size_t alignment) {
  const auto address = reinterpret_cast<uintptr_t>(start);
  return reinterpret_cast<char*>((address + alignment - 1) / alignment * alignment);
}

}  // namespace

Area::Area(size_t bytes) {
#if defined(__linux__)
  if (bytes >= kHugePage) {
    mapped_bytes_ = bytes + kHugePage;
    start_ =
        mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Check(start_ != MAP_FAILED);
    data_ = AlignedUp(start_, kHugePage);
    // A wish: it changes nothing but speed, and may be refused.
    (void)madvise(data_, bytes, MADV_HUGEPAGE);
    return;
  }
#endif
  start_ = std::calloc(1, bytes + 64);
  Check(start_ != nullptr);
  data_ = AlignedUp(start_, 64);
}

Area::Area(Area&& other) noexcept
    : start_(other.start_), mapped_bytes_(other.mapped_bytes_), data_(other.data_) {
  other.start_ = nullptr;
}

Area::~Area() {
  if (start_ == nullptr) return;
#if defined(__linux__)
  if (mapped_bytes_ > 0) {
    munmap(start_, mapped_bytes_);
    return;
  }
#endif
  std::free(start_);
}

}  // namespace stele::index
