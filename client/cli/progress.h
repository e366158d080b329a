// Progress of long work on standard error: a bar on a terminal, plain lines elsewhere.
//
// Does not measure anything itself but time. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace stele::client::cli {

struct ProgressState {
  // Rows or bytes done in all, and of them, those done before this run began.
  uint64_t done = 0;
  uint64_t skipped = 0;
  // Where known.
  std::optional<uint64_t> total;
  // From 0 to 1, where no total is known.
  double fraction = 0;
};

// One line, without a line break: "notes.jsonl  [====>     ]  45%  9,000/20,000 rows  1,200 rows/s
// ETA 00:09". `elapsed` is the time since the beginning of this run.
std::string FormatProgress(const std::string& label, const std::string& unit,
                           const ProgressState& state, absl::Duration elapsed, bool bar);

// "1,234,567".
std::string WithThousands(uint64_t number);

class Progress {
 public:
  Progress(std::string label, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws at most ten times a second on a terminal, every ten seconds elsewhere.
  void Update(const ProgressState& state);
  // Draws the last state.
  void Finish();

 private:
  void Draw();

  const std::string label_;
  const std::string unit_;
  const bool is_terminal_;
  const absl::Time started_;
  absl::Time last_drawn_;
  ProgressState state_;
  bool has_state_ = false;
  bool finished_ = false;
  size_t drawn_width_ = 0;
};

}  // namespace stele::client::cli
