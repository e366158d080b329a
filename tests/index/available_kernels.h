// Every table of kernels that this processor can run.
#pragma once

#include <vector>

#include "index/kernels.h"

namespace stele::index {

inline std::vector<const Kernels*> AvailableKernels() {
  std::vector<const Kernels*> kernels;
  for (const KernelKind kind : kKernelKinds) {
    if (const Kernels* found = KernelsOfKind(kind); found != nullptr) kernels.push_back(found);
  }
  return kernels;
}

}  // namespace stele::index
