// Rotary position embedding (Su et al. 2021), half-split layout: elements i and i + head_dim/2 form a pair.
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Turns one head by the angles (cos, sin), or back.
template <bool BACKWARD>
FLICKER_INLINE void turn(const float* from, const float* cos, const float* sin, float* to, int64_t half) {
  const auto pair = [&](auto a, auto b, auto c, auto s, auto& x, auto& y) {
    x = BACKWARD ? a * c + b * s : a * c - b * s;
    y = BACKWARD ? b * c - a * s : b * c + a * s;
  };
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    vf x, y;
    pair(load(from + i), load(from + half + i), load(cos + i), load(sin + i), x, y);
    store(to + i, x);
    store(to + half + i, y);
  }
  for (; i < half; i++) {
    float x, y;
    pair(from[i], from[half + i], cos[i], sin[i], x, y);
    to[i] = x;
    to[half + i] = y;
  }
}

}  // namespace

void rope(const float* x, const float* cos, const float* sin, float* out, int64_t rows, int64_t seq, int64_t heads,
          int64_t head_dim, bool backward) {
  constexpr int64_t rows_per_block = 64;
  const int64_t half = head_dim / 2;
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++)
      for (int64_t h = 0; h < heads; h++) {
        const int64_t at = (r * heads + h) * head_dim, position = r % seq;
        if (backward)
          turn<true>(x + at, cos + position * half, sin + position * half, out + at, half);
        else
          turn<false>(x + at, cos + position * half, sin + position * half, out + at, half);
      }
  });
}

}  // namespace flicker::FLICKER_ISA
