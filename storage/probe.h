// The probe: reads a data directory without changing it and says whether it may be opened.
//
// It runs in a child process (stele-probe), because damaged files can trip assertions inside
// RocksDB, which abort the process; and before RocksDB opens the directory for writing, because
// that deletes the evidence.
//
// Thread safety: the functions hold no state. The directory must not be open for writing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/file_system.h"
#include "storage/log_id.h"

namespace stele::storage {

struct ProbeReport {
  LogId log_id;
  uint64_t base_index = 0;
  uint64_t next_index = 0;            // base_index and the number of entries
  uint64_t watermark_next_index = 0;  // entries below it were acknowledged
  uint64_t entries_checked = 0;

  bool operator==(const ProbeReport&) const = default;
};

// Checks: FORMAT and its copy in the journal; the watermark; that the entries reach it; every row
// from entry `check_from` (raised to the base) to the end, without holes and without extra items.
absl::StatusOr<ProbeReport> Probe(const std::string& directory, uint64_t check_from,
                                  std::shared_ptr<rocksdb::FileSystem> file_system);

// The same in a child process that runs `probe_path`. A child that is ended by a signal of its own
// doing (an assertion, a bad access) is DATA_LOSS with what it wrote to its standard error.
absl::StatusOr<ProbeReport> ProbeInChild(const std::string& probe_path,
                                         const std::string& directory, uint64_t check_from);

// What the child writes to its standard output: lines of text, the last one "end".
std::string EncodeProbeResult(const absl::StatusOr<ProbeReport>& result);
// nullopt: not such a text, or not all of it.
std::optional<absl::StatusOr<ProbeReport>> DecodeProbeResult(std::string_view text);

}  // namespace stele::storage
