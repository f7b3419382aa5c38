// The sequences of one call of cached attention, read from JavaScript and checked: every position that the kernel will
// touch lies in its segment.
#pragma once

#include <vector>

#include "arguments.h"

namespace flicker {

struct CachedSequences {
  std::vector<CacheSegment> segments;
  std::vector<CachedSequence> sequences;
  /// One beyond the last position.
  int64_t end = 0;

  /// Argument `buffers_at`: keys and values of each segment; `numbers_at`, an Int32Array: of each sequence count, position
  /// and how many segments, then of each segment start and capacity. An error throws and leaves in.ok() false.
  CachedSequences(Arguments& in, size_t buffers_at, size_t numbers_at, CachedAttentionShape shape) {
    const int64_t row_bytes = cache_row_bytes(shape.type, shape.head_dim);
    int64_t rows = 0, numbers = 0;
    for (int64_t s = 0; in.ok() && s < shape.sequences; s++) {
      const int32_t* sequence = in.ints(numbers_at, numbers + 3);
      if (!in.ok()) return;
      const int64_t count = sequence[numbers], position = sequence[numbers + 1], n = sequence[numbers + 2];
      if (count < 0 || position < 0 || n < 1) in.fail(numbers_at, "holds a sequence of no segments");
      if (!in.ok()) return;
      const int32_t* list = in.ints(numbers_at, numbers + 3 + 2 * n) + numbers + 3;
      if (!in.ok()) return;
      for (int64_t i = 0; i < n; i++) {
        const int64_t start = list[2 * i], capacity = list[2 * i + 1];
        const int64_t stop = i + 1 < n ? list[2 * i + 2] : position + count;
        if (i == 0 ? start != 0 : start < 0) in.fail(numbers_at, "holds a sequence that does not start at 0");
        if (capacity < 0 || stop < start || stop - start > capacity || start > position)
          in.fail(numbers_at, "holds a segment with too little room");
        const uint32_t buffer = static_cast<uint32_t>(2 * segments.size());
        uint8_t* keys = in.bytes_in(buffers_at, buffer, shape.kv_heads * capacity, row_bytes);
        uint8_t* values = in.bytes_in(buffers_at, buffer + 1, shape.kv_heads * capacity, row_bytes);
        if (!in.ok()) return;
        segments.push_back({keys, values, capacity, start});
      }
      sequences.push_back({count, position, n, nullptr});
      rows += count;
      numbers += 3 + 2 * n;
      end = position + count > end ? position + count : end;
    }
    if (rows != shape.batch) in.fail(numbers_at, "holds sequences that are not the batch");
    const CacheSegment* next = segments.data();
    for (CachedSequence& sequence : sequences) {
      sequence.segments = next;
      next += sequence.segment_count;
    }
  }
};

}  // namespace flicker
