// The fixed bytes around a snapshot's sections, shared by its writer and its reader.
#pragma once

#include <cstdint>
#include <string_view>

#include "index/codec.h"
#include "index/snapshot.h"

namespace stele::index {

// FROZEN: on disk.
inline constexpr std::string_view kSnapshotMagic = "STELESNP";
inline constexpr std::string_view kSnapshotEnd = "STELEEND";
inline constexpr uint32_t kSnapshotFormat = 1;
inline constexpr size_t kSnapshotHeaderBytes = 16;
// Manifest offset and size, SHA-256 of the manifest, end magic.
inline constexpr size_t kSnapshotTrailerBytes = 8 + 8 + 32 + 8;

// The part of the manifest that SnapshotHash covers.
void EncodeSnapshotMetadata(const SnapshotManifest& manifest, Encoder& encoder);

}  // namespace stele::index
