#include "client/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace stele::client::cli {
namespace {

std::string FormatEta(double seconds) {
  if (seconds > 100.0 * 3600) return "long";
  const int64_t whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return absl::StrFormat("%02d:%02d", whole / 60, whole % 60);
}

}  // namespace

std::string WithThousands(uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped.push_back(',');
    grouped.push_back(digits[i]);
  }
  return grouped;
}

std::string FormatProgress(const std::string& label, const std::string& unit,
                           const ProgressState& state, absl::Duration elapsed, bool bar) {
  double fraction = state.fraction;
  if (state.total.has_value()) {
    fraction = *state.total == 0
                   ? 1.0
                   : static_cast<double>(state.done) / static_cast<double>(*state.total);
  }
  fraction = std::clamp(fraction, 0.0, 1.0);
  std::string line = label;
  if (bar) {
    constexpr int kBarWidth = 24;
    const auto filled = static_cast<size_t>(fraction * kBarWidth);
    std::string cells(filled, '=');
    if (filled < kBarWidth) cells.push_back('>');
    cells.resize(kBarWidth, ' ');
    absl::StrAppend(&line, "  [", cells, "]");
  }
  absl::StrAppend(&line, absl::StrFormat("  %3d%%  ", static_cast<int>(fraction * 100)),
                  WithThousands(state.done));
  if (state.total.has_value()) absl::StrAppend(&line, "/", WithThousands(*state.total));
  absl::StrAppend(&line, " ", unit);

  const double seconds = absl::ToDoubleSeconds(elapsed);
  const auto done_now = static_cast<double>(state.done - std::min(state.skipped, state.done));
  if (seconds <= 0 || done_now <= 0) return line;
  const double rate = done_now / seconds;
  absl::StrAppend(&line, "  ", WithThousands(static_cast<uint64_t>(rate)), " ", unit, "/s");
  if (fraction > 0 && fraction < 1) {
    const double left = static_cast<double>(state.done) * (1 - fraction) / fraction;
    absl::StrAppend(&line, "  ETA ", FormatEta(left / rate));
  }
  return line;
}

Progress::Progress(std::string label, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      is_terminal_(isatty(STDERR_FILENO) != 0),
      started_(absl::Now()),
      last_drawn_(started_) {}

Progress::~Progress() {
  if (is_terminal_ && drawn_width_ > 0 && !finished_) std::fputc('\n', stderr);
}

void Progress::Update(const ProgressState& state) {
  state_ = state;
  has_state_ = true;
  const absl::Duration interval = is_terminal_ ? absl::Milliseconds(100) : absl::Seconds(10);
  if (absl::Now() - last_drawn_ >= interval) Draw();
}

void Progress::Finish() {
  // Where the end was not known before, it is now.
  state_.total = state_.done;
  if (has_state_) Draw();
  if (is_terminal_ && drawn_width_ > 0) std::fputc('\n', stderr);
  finished_ = true;
}

void Progress::Draw() {
  last_drawn_ = absl::Now();
  std::string line = FormatProgress(label_, unit_, state_, last_drawn_ - started_, is_terminal_);
  if (!is_terminal_) {
    std::fprintf(stderr, "%s\n", line.c_str());
    return;
  }
  const size_t width = line.size();
  // Blanks cover what a longer line left behind.
  if (width < drawn_width_) line.append(drawn_width_ - width, ' ');
  drawn_width_ = width;
  std::fprintf(stderr, "\r%s", line.c_str());
  std::fflush(stderr);
}

}  // namespace stele::client::cli
