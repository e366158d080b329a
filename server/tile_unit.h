// The processor's tile unit (AMX), where it has one: the system gives a process the tile registers
// only when asked.
//
// Thread safety: any thread; what is given holds for the whole process and is never taken back.
#pragma once

#include "index/kernels.h"

namespace stele::server {

// Asks for the tile registers; false where the processor or the system does not have them.
bool AllowTileUnit();

// As index::BestKernels and index::KernelsByName, with those that use the tile unit.
const index::Kernels& BestKernels();
const index::Kernels* KernelsByName(std::string_view name);

}  // namespace stele::server
