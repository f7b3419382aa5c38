// How rows of weights are shared out to threads.
#pragma once

#include "parallel.h"
#include "row_kernels.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Rows of a job that reads them one after another. Memory comes at full speed only after some 100 KiB of a line; where
/// there are fewer, the threads get equal parts.
inline int64_t rows_per_job(int64_t rows, int64_t row_bytes) {
  constexpr int64_t least = 64 << 10, most = 512 << 10;
  const int64_t share = rows * row_bytes / (8 * thread_count());
  const int64_t bytes = share < least ? least : share < most ? share : most;
  const int64_t fit = (bytes + row_bytes) / (row_bytes + 1);
  return (fit + tile_rows - 1) / tile_rows * tile_rows;
}

}  // namespace
}  // namespace flicker::FLICKER_ISA
