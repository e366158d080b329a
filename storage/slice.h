// Between the bytes of this folder and RocksDB's view of them.
//
// Thread safety: pure functions. What they return points into what they were given.
#pragma once

#include <string_view>

#include "rocksdb/slice.h"

namespace stele::storage {

inline rocksdb::Slice ToSlice(const auto& bytes) { return {bytes.data(), bytes.size()}; }

inline std::string_view View(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace stele::storage
