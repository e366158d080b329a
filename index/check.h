// Invariants of our own making, always on. Bytes from disk or network are never checked with this.
#pragma once

#include <cstdlib>

namespace stele::index {

constexpr void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace stele::index
