#include "server/tile_unit.h"

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace stele::server {

bool AllowTileUnit() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

const index::Kernels& BestKernels() {
  const index::Kernels* tiles = index::KernelsOfKind(index::KernelKind::kAvx512Amx);
  return tiles != nullptr && AllowTileUnit() ? *tiles : index::BestKernels();
}

const index::Kernels* KernelsByName(std::string_view name) {
  const index::Kernels* kernels = index::KernelsByName(name);
  const bool tiles = kernels != nullptr && kernels->kind == index::KernelKind::kAvx512Amx;
  return tiles && !AllowTileUnit() ? nullptr : kernels;
}

}  // namespace stele::server
