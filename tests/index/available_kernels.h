// Every table of kernels that this process can run.
#pragma once

#include <vector>

#include "index/kernels.h"
#include "server/tile_unit.h"

namespace stele::index {

inline std::vector<const Kernels*> AvailableKernels() {
  std::vector<const Kernels*> kernels;
  for (const KernelKind kind : kKernelKinds) {
    if (kind == KernelKind::kAvx512Amx && !server::AllowTileUnit()) continue;
    if (const Kernels* found = KernelsOfKind(kind); found != nullptr) kernels.push_back(found);
  }
  return kernels;
}

}  // namespace stele::index
