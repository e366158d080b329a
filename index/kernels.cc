#include "index/kernels.h"

namespace stele::index {
namespace {

// Fastest first, of those that anybody may use.
constexpr KernelKind kByPreference[] = {KernelKind::kAvx512Vnni, KernelKind::kAvx512,
                                        KernelKind::kAvx2,       KernelKind::kNeonDot,
                                        KernelKind::kNeon,       KernelKind::kScalar};

}  // namespace

const Kernels* KernelsOfKind(KernelKind kind) {
  switch (kind) {
    case KernelKind::kScalar:
      return &ScalarKernels();
    case KernelKind::kAvx2:
      return internal::Avx2Kernels();
    case KernelKind::kAvx512:
      return internal::Avx512Kernels();
    case KernelKind::kAvx512Vnni:
      return internal::Avx512VnniKernels();
    case KernelKind::kAvx512Amx:
      return internal::Avx512AmxKernels();
    case KernelKind::kNeon:
      return internal::NeonKernels();
    case KernelKind::kNeonDot:
      return internal::NeonDotKernels();
  }
  return nullptr;
}

const Kernels* KernelsByName(std::string_view name) {
  for (const KernelKind kind : kKernelKinds) {
    const Kernels* kernels = KernelsOfKind(kind);
    if (kernels != nullptr && name == kernels->name) return kernels;
  }
  return nullptr;
}

const Kernels& BestKernels() {
  for (const KernelKind kind : kByPreference) {
    const Kernels* kernels = KernelsOfKind(kind);
    if (kernels != nullptr) return *kernels;
  }
  return ScalarKernels();
}

}  // namespace stele::index
