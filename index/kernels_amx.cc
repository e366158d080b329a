// AMX: a processor's tile unit multiplies 16 queries by 16 rows and 64 codes at a time, eight times
// as fast as VNNI. The tile of 64 rows that VNNI uses is already what it wants: four bytes of each
// of 16 rows make a line of 64 bytes.
//
// A process must ask the system for the tile registers before it may touch them; index/ asks for
// nothing, so whoever chooses these kernels has done that (server/tile_unit.h).
#include "index/kernels.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define STELE_AMX __attribute__((target("amx-tile,amx-int8")))

namespace stele::index {
namespace {

// The eight tile registers, each of 16 lines of 64 bytes: sums in 0..3, codes in 4, rows in 5..7.
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_line = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t lines[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileShapes) == 64);

constexpr size_t kLineBytes = size_t{64} * 4;  // four bytes of each of the 64 rows
constexpr size_t kSumBytes = size_t{64} * sizeof(int32_t);

STELE_AMX void SixteenQueries(const uint8_t* tile, const int8_t* codes, size_t code_bytes,
                              int32_t* out) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t i = 0; i < code_bytes; i += 64) {
    const uint8_t* lines = tile + i / 4 * kLineBytes;
    _tile_loadd(4, codes + i, code_bytes);
    _tile_loadd(5, lines, kLineBytes);
    _tile_dpbsud(0, 4, 5);
    _tile_loadd(6, lines + 64, kLineBytes);
    _tile_dpbsud(1, 4, 6);
    _tile_loadd(7, lines + 128, kLineBytes);
    _tile_dpbsud(2, 4, 7);
    _tile_loadd(5, lines + 192, kLineBytes);
    _tile_dpbsud(3, 4, 5);
  }
  _tile_stored(0, out, kSumBytes);
  _tile_stored(1, out + 16, kSumBytes);
  _tile_stored(2, out + 32, kSumBytes);
  _tile_stored(3, out + 48, kSumBytes);
}

}  // namespace

STELE_AMX void internal::TileDotsAmx(const uint8_t* tile, const int8_t* codes, uint32_t query_count,
                                     uint32_t groups, int32_t* out) {
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  const size_t code_bytes = TileCodeBytes(groups);
  for (size_t q = 0; q < query_count; q += 16) {
    SixteenQueries(tile, codes + q * code_bytes, code_bytes, out + q * 64);
  }
  _tile_release();
}

bool internal::HasTileUnit() {
  constexpr unsigned kTileAndInt8 = 3u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kTileAndInt8) == kTileAndInt8;
}

}  // namespace stele::index

#endif
