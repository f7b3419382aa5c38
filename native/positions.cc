// The register tiles behind positions.h, one copy for every number of positions.
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

template <int C>
void tile_dots(const float* panel, const float* xs, int64_t steps, Ahead& ahead, float* out) {
  static_assert(dot_block / lanes % Ahead::section == 0);
  vf totals[tile_rows * C] = {};
  for (int64_t k = 0; k < steps;) {
    vf sums[tile_rows * C] = {};
    for (const int64_t block_end = min(steps, k + dot_block / lanes); k < block_end;) {
      ahead.some();
      for (const int64_t end = min(block_end, k + Ahead::section); k < end; k++) {
        vf x[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) x[c] = load(xs + (k * C + c) * lanes);
#pragma GCC unroll 8
        for (int r = 0; r < tile_rows; r++) {
          const vf w = load(panel + (k * tile_rows + r) * lanes);
#pragma GCC unroll 8
          for (int c = 0; c < C; c++) sums[r * C + c] += w * x[c];
        }
      }
    }
#pragma GCC unroll 32
    for (int i = 0; i < tile_rows * C; i++) totals[i] += sums[i];
  }
  store_lane_sums<tile_rows * C>(totals, out);
}

template <int P>
void tile_sums(const float* panel, int64_t panel_stride, const float* h, int64_t h_stride, int64_t count, float* sums,
               int64_t stride, int64_t width, bool add) {
  vf s[P][tile_vectors] = {};
  if (add)
    for (int p = 0; p < P; p++)
      for (int j = 0; j < tile_vectors && j * lanes < width; j++)
        s[p][j] = load_first(sums + p * stride + j * lanes, min(lanes, width - j * lanes));
  for (int64_t i = 0; i < count; i++) {
    vf w[tile_vectors];
#pragma GCC unroll 4
    for (int j = 0; j < tile_vectors; j++) w[j] = load(panel + i * panel_stride + j * lanes);
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) {
      const vf factor = splat(h[i * h_stride + p]);
#pragma GCC unroll 4
      for (int j = 0; j < tile_vectors; j++) s[p][j] += factor * w[j];
    }
  }
  if (width == tile_vectors * lanes) {
#pragma GCC unroll 8
    for (int p = 0; p < P; p++)
#pragma GCC unroll 4
      for (int j = 0; j < tile_vectors; j++) store(sums + p * stride + j * lanes, s[p][j]);
    return;
  }
  float rest[tile_vectors * lanes];
  for (int p = 0; p < P; p++) {
    memcpy(rest, s[p], sizeof rest);
    memcpy(sums + p * stride, rest, static_cast<size_t>(width) * 4);
  }
}

struct AllTileKernels : TileKernels {
  template <int C>
  constexpr void fill() {
    dots[C] = tile_dots<C>;
    sums[C] = tile_sums<C>;
    if constexpr (C > 1) fill<C - 1>();
  }
  constexpr AllTileKernels() : TileKernels() { fill<tile_positions>(); }
};
constexpr AllTileKernels all_tile_kernels{};

}  // namespace

const TileKernels& tile_kernels = all_tile_kernels;

}  // namespace flicker::FLICKER_ISA
