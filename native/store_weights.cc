// From tensors as files hold them to the engine's rows while a model is loaded: blocks whose scales move to the front
// of their row, and matrices that are held transposed, as down projections are. What is requantized is so with one
// candidate per scale: of the error that the file has already it adds a few percent (docs/formats.md). The twin is in
// src/kernels/weights/requantize.ts.
#include "cache_rows.h"
#include "kernels.h"
#include "parallel.h"
#include "weight_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t tile = super_block;
/// Rows of a tile lie one cache line more than a power of two apart, so that its columns do not share a few sets of the
/// cache.
constexpr int64_t pitch = tile + 16;

float half_at(const uint8_t* p) {
  uint16_t half[lanes] = {};
  memcpy(half, p, 2);
  return widen_f16(half)[0];
}

/// out (count ≤ 256) = columns of a row from a multiple of 256 on. blocks: ggml's, of that row, from there on.
void read_blocks(WeightType type, const uint8_t* from, int64_t count, float* out) {
  if (type == kQ8_0) {
    for (int64_t k = 0; k < count; k += 32, from += 34) {
      const float scale = half_at(from);
      const int8_t* codes = reinterpret_cast<const int8_t*>(from + 2);
      for (int i = 0; i < 32; i++) out[k + i] = scale * static_cast<float>(codes[i]);
    }
    return;
  }
  if (type == kQ4_0) {
    for (int64_t k = 0; k < count; k += 32, from += 18) {
      const float scale = half_at(from);
      for (int i = 0; i < 16; i++) {
        out[k + i] = scale * static_cast<float>((from[2 + i] & 15) - 8);
        out[k + 16 + i] = scale * static_cast<float>((from[2 + i] >> 4) - 8);
      }
    }
    return;
  }
  const auto all = [&]<typename Row>(Row row) {
    const auto scales = row.scales(0);
    unrolled<2>([&](auto half) FLICKER_UNROLLED {
      constexpr int64_t at = half * 128;
      unrolled<128 / lanes>(
          [&](auto j) FLICKER_UNROLLED { store(out + at + j * lanes, row.template vector<j>(at, scales, at)); });
    });
  };
  if (type == kQ4_k)
    all(Q4KRow(from, 0));
  else if (type == kQ5_k)
    all(Q5KRow(from, 0));
  else
    all(Q6KRow(from, 0));
}

int64_t file_block_bytes(WeightType type) {
  switch (type) {
    case kQ8_0:
      return 34 * 8;
    case kQ4_0:
      return 18 * 8;
    case kQ4_k:
      return q4_k_bytes;
    case kQ5_k:
      return q5_k_bytes;
    default:
      return q6_k_bytes;
  }
}

FLICKER_INLINE vf magnitude(vf v) { return (vf)((vi)v & 0x7fffffff); }

/// The codes of four neighbors in each lane's row, one vector a neighbor, as the four bytes that follow one another
/// there.
FLICKER_INLINE vi four_bytes(const vi (&codes)[4]) {
  return (codes[0] & 255) | (codes[1] & 255) << 8 | (codes[2] & 255) << 16 | codes[3] << 24;
}

uint64_t eight_bytes(const uint8_t* from) {
  uint64_t bytes;
  memcpy(&bytes, from, 8);
  return bytes;
}

/// 256 codes of 6 bits as the low and high parts of a super-block of q6_k, eight at a time.
void pack_q6(const uint8_t* codes, uint8_t* to) {
  constexpr uint64_t low = 0x0f0f0f0f0f0f0f0f, high = 0x0303030303030303;
  for (int half = 0; half < 2; half++, codes += 128) {
    for (int i = 0; i < 32; i += 8) {
      const uint64_t a = eight_bytes(codes + i), b = eight_bytes(codes + 32 + i);
      const uint64_t c = eight_bytes(codes + 64 + i), d = eight_bytes(codes + 96 + i);
      const uint64_t first = (a & low) | (c & low) << 4, second = (b & low) | (d & low) << 4;
      const uint64_t rest = (a >> 4 & high) | (b >> 4 & high) << 2 | (c >> 4 & high) << 4 | (d >> 4 & high) << 6;
      memcpy(to + 64 * half + i, &first, 8);
      memcpy(to + 64 * half + 32 + i, &second, 8);
      memcpy(to + 128 + 32 * half + i, &rest, 8);
    }
  }
}

/// `values` (256 × 256, rows `pitch` apart, a row of them for each of 256 elements along the output's rows): `lanes`
/// output rows from column c on become super-blocks of q6_k at `to`, `step` apart. Returns false where a value is not
/// finite or too large.
bool to_q6(const float* values, int64_t c, int64_t columns, uint8_t* to, int64_t step) {
  vf scales[16], largest = {}, extreme = {};
  for (int g = 0; g < 16; g++) {
    vf most = {}, of_most = {};
    for (int i = 0; i < 16; i++) {
      const vf v = load(values + (16 * g + i) * pitch + c), size = magnitude(v);
      // A value that is not a number is larger than all.
      const vi more = ~(size <= most);
      most = more ? size : most;
      of_most = more ? v : of_most;
    }
    scales[g] = of_most * splat(-1.f / 32);
    const vf size = magnitude(scales[g]);
    const vi more = ~(size <= largest);
    largest = more ? size : largest;
    extreme = more ? scales[g] : extreme;
  }
  float d[lanes], steps[lanes];
  for (int l = 0; l < lanes; l++) {
    const float own = extreme[l] * (-1.f / 128);
    if (!(own > -65520.f && own < 65520.f)) return false;
    const uint16_t half = narrow_f16(own);
    uint8_t bytes[2];
    memcpy(bytes, &half, 2);
    d[l] = half_at(bytes);
    if (l < columns) memcpy(to + l * step + 208, &half, 2);
  }
  alignas(64) uint8_t codes[lanes][tile];
  for (int g = 0; g < 16; g++) {
    for (int l = 0; l < lanes; l++) {
      float code = d[l] == 0 ? 0 : scales[g][l] / d[l];
      code = code < -128 ? -128 : code > 127 ? 127 : code;
      const int whole = static_cast<int>(__builtin_floorf(code + 0.5f));
      if (l < columns) to[l * step + 192 + g] = static_cast<uint8_t>(whole > 127 ? 127 : whole);
      const float own = d[l] * static_cast<float>(whole > 127 ? 127 : whole);
      steps[l] = own == 0 ? 0 : 1 / own;
    }
    const vf inverse = load(steps);
    for (int i = 16 * g; i < 16 * g + 16; i += 4) {
      vi four[4];
      for (int j = 0; j < 4; j++) {
        vf code = load(values + (i + j) * pitch + c) * inverse + splat(32.5f);
        code = code > 63 ? splat(63.f) : code;
        code = code > 0 ? code : vf{};
        four[j] = __builtin_convertvector(code, vi);
      }
      const vi bytes = four_bytes(four);
      for (int l = 0; l < lanes; l++) {
        const int own = bytes[l];
        memcpy(codes[l] + i, &own, 4);
      }
    }
  }
  for (int l = 0; l < columns; l++) pack_q6(codes[l], to + l * step);
  return true;
}

/// The same as q8_0: `groups` groups of 32; scales at `scale_to`, codes at `to`.
bool to_q8(const float* values, int64_t c, int64_t columns, int64_t count, uint8_t* scale_to, uint8_t* to,
           int64_t step) {
  for (int64_t first = 0, g = 0; first < count; first += 32, g++) {
    const int64_t n = min(32, count - first);
    vf most = {};
    for (int64_t i = 0; i < n; i++) {
      const vf size = magnitude(load(values + (first + i) * pitch + c));
      most = ~(size <= most) ? size : most;
    }
    const vf scale = most / splat(127.f);
    float inverses[lanes];
    for (int l = 0; l < lanes; l++) {
      if (!(scale[l] < 65520.f)) return false;
      const uint16_t half = narrow_f16(scale[l]);
      if (l < columns) memcpy(scale_to + l * step + 2 * g, &half, 2);
      const float inverse = 1 / scale[l];
      inverses[l] = inverse < __builtin_inff() ? inverse : 0;
    }
    const vf inverse = load(inverses);
    for (int64_t i = 0; i < n; i += 4) {
      const int64_t some = min(4, n - i);
      vi four[4] = {};
      for (int64_t j = 0; j < some; j++) {
        const vf x = load(values + (first + i + j) * pitch + c) * inverse;
        // Halves away from zero.
        const vi whole = __builtin_convertvector(x, vi);
        const vf rest = x - __builtin_convertvector(whole, vf);
        four[j] = whole - (rest >= 0.5f) + (rest <= -0.5f);
      }
      const vi bytes = four_bytes(four);
      uint8_t* at = to + first + i;
      // A size that the compiler knows is one store.
      for (int64_t l = 0; l < columns; l++, at += step) {
        const int own = bytes[l];
        if (some == 4)
          memcpy(at, &own, 4);
        else
          memcpy(at, &own, static_cast<size_t>(some));
      }
    }
  }
  return true;
}

template <typename T>
void transpose(const uint8_t* from, int64_t rows, int64_t columns, uint8_t* out, int64_t step) {
  constexpr int64_t side = 64;
  const int64_t across = ceil_div(columns, side);
  parallel_for(across * ceil_div(rows, side), [&](int64_t job) {
    const int64_t first = job % across * side, top = job / across * side;
    const int64_t width = min(columns - first, side), height = min(rows - top, side);
    // A copy, since rows that lie a power of two apart would push each other out of the cache.
    T square[side * side];
    for (int64_t r = 0; r < height; r++)
      memcpy(square + r * side, reinterpret_cast<const T*>(from) + (top + r) * columns + first,
             static_cast<size_t>(width) * sizeof(T));
    for (int64_t c = 0; c < width; c++) {
      T* to = reinterpret_cast<T*>(out + (first + c) * step) + top;
      for (int64_t r = 0; r < height; r++) to[r] = square[r * side + c];
    }
  });
}

/// Makes the pages of memory that is to be written, each on one thread: columns that become rows are written all over
/// it, and two threads in one new page would both clear it. What is there already stays.
void make_pages(volatile uint8_t* out, int64_t bytes) {
  constexpr int64_t piece = 2 << 20, page = 4096;
  const int64_t before = static_cast<int64_t>(reinterpret_cast<uintptr_t>(out) % piece);
  parallel_for((before + bytes + piece - 1) / piece, [&](int64_t job) {
    const int64_t next = (job + 1) * piece - before, end = next < bytes ? next : bytes;
    for (int64_t at = job == 0 ? 0 : job * piece - before; at < end; at += page) out[at] = out[at];
  });
}

}  // namespace

void blocks_to_rows(WeightType type, const uint8_t* from, int64_t rows, int64_t columns, uint8_t* out, int64_t step) {
  const int64_t groups = columns / 32, scale_bytes = weight_scale_bytes(columns);
  const int64_t row_bytes = weight_row_bytes(type, columns);
  constexpr int64_t per_job = 64;
  parallel_for(ceil_div(rows, per_job), [&](int64_t job) {
    for (int64_t r = job * per_job; r < min(rows, (job + 1) * per_job); r++) {
      uint8_t *scales = out + r * step, *to = scales + scale_bytes;
      if (type == kQ8_0) {
        const uint8_t* block = from + r * groups * 34;
        for (int64_t g = 0; g < groups; g++, block += 34) {
          memcpy(scales + 2 * g, block, 2);
          memcpy(to + 32 * g, block + 2, 32);
        }
      } else if (type != kQ4_0) {
        memcpy(out + r * step, from + r * row_bytes, static_cast<size_t>(row_bytes));
      } else {
        const uint8_t* block = from + r * groups * 18;
        for (int64_t g = 0; g < groups; g++, block += 18) {
          memcpy(scales + 2 * g, block, 2);
          // The bytes of four groups are interleaved: see quantized.ts.
          for (int i = 0; i < 16; i++) to[64 * (g >> 2) + 4 * i + (g & 3)] = block[2 + i];
        }
      }
    }
  });
}

int64_t columns_to_rows(WeightType type, const uint8_t* from, int64_t rows, int64_t columns, WeightType to,
                        uint8_t* out, int64_t step, int64_t first_row, int64_t total_rows) {
  if (type == to && (type == kF32 || type == kBf16 || type == kF16)) {
    if (type == kF32)
      transpose<uint32_t>(from, rows, columns, out + first_row * 4, step);
    else
      transpose<uint16_t>(from, rows, columns, out + first_row * 2, step);
    return 0;
  }
  const int64_t across = ceil_div(columns, tile), down = ceil_div(rows, tile);
  const int64_t block_bytes = file_block_bytes(type);
  // Blocks of 32 columns need not fill the last 256.
  const int64_t row_bytes = columns * block_bytes / tile, scale_bytes = weight_scale_bytes(total_rows);
  if (first_row == 0) make_pages(out, (columns - 1) * step + weight_row_bytes(to, total_rows));
  int64_t bad = 0;
  parallel_for(across * down, [&](int64_t job) {
    const int64_t first = job % across * tile, top = job / across * tile;
    const int64_t width = min(tile, columns - first), height = min(tile, rows - top);
    float* values = static_cast<float*>(scratch(0, static_cast<uint64_t>(tile * pitch) * 4));
    if (values == nullptr) return;
    for (int64_t r = 0; r < tile; r++) {
      if (r < height)
        read_blocks(type, from + (top + r) * row_bytes + first / tile * block_bytes, width, values + r * pitch);
      if (r >= height || width < tile)
        memset(values + r * pitch + (r < height ? width : 0), 0,
               static_cast<size_t>(tile - (r < height ? width : 0)) * 4);
    }
    for (int64_t c = 0; c < width; c += lanes) {
      uint8_t* row = out + (first + c) * step;
      const int64_t some = min(lanes, width - c), at = first_row + top;
      const bool fits = to == kQ6_k ? to_q6(values, c, some, row + at / tile * q6_k_bytes, step)
                                    : to_q8(values, c, some, height, row + at / 16, row + scale_bytes + at, step);
      if (!fits) __atomic_store_n(&bad, 1, __ATOMIC_RELAXED);
    }
  });
  return bad;
}

}  // namespace flicker::FLICKER_ISA
