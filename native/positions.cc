// The register tiles behind positions.h, one copy for every number of positions.
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

template <int C>
void tile_dots(const float* panel, const float* xs, int64_t steps, float* totals) {
  vf sums[tile_rows * C] = {};
  for (int64_t k = 0; k < steps; k++) {
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
#pragma GCC unroll 32
  for (int i = 0; i < tile_rows * C; i++) store(totals + i * lanes, load(totals + i * lanes) + sums[i]);
}

template <int C>
void tile_totals(const float* totals, float* out) {
  vf sums[tile_rows * C];
#pragma GCC unroll 32
  for (int i = 0; i < tile_rows * C; i++) sums[i] = load(totals + i * lanes);
  store_lane_sums<tile_rows * C>(sums, out);
}

template <int P>
void tile_sums(const float* panel, int64_t panel_stride, const float* h, int64_t h_stride, int64_t count, float* sums,
               int64_t stride, int64_t width, bool add) {
  // What is narrower than a tile goes through one of its own.
  constexpr int64_t whole = tile_vectors * lanes;
  float narrow[P * whole];
  float* to = sums;
  int64_t to_stride = stride;
  if (width < whole) {
    to = narrow, to_stride = whole;
    for (int p = 0; add && p < P; p++) memcpy(narrow + p * whole, sums + p * stride, static_cast<size_t>(width) * 4);
  }
  vf s[P][tile_vectors] = {};
  if (add)
#pragma GCC unroll 8
    for (int p = 0; p < P; p++)
#pragma GCC unroll 4
      for (int j = 0; j < tile_vectors; j++) s[p][j] = load(to + p * to_stride + j * lanes);
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
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
#pragma GCC unroll 4
    for (int j = 0; j < tile_vectors; j++) store(to + p * to_stride + j * lanes, s[p][j]);
  if (width < whole)
    for (int p = 0; p < P; p++) memcpy(sums + p * stride, narrow + p * whole, static_cast<size_t>(width) * 4);
}

struct AllTileKernels : TileKernels {
  template <int C>
  constexpr void fill() {
    dots[C] = tile_dots<C>;
    totals[C] = tile_totals<C>;
    sums[C] = tile_sums<C>;
    if constexpr (C > 1) fill<C - 1>();
  }
  constexpr AllTileKernels() : TileKernels() { fill<tile_positions>(); }
};
constexpr AllTileKernels all_tile_kernels{};

}  // namespace

const TileKernels& tile_kernels = all_tile_kernels;

}  // namespace flicker::FLICKER_ISA
