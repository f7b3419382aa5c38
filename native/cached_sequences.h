// The sequences that attention over caches is given, read from its arguments and checked.
#pragma once

#include "contract.h"

namespace flicker::contract {

/// The sequences of one call, read and checked: every position that the kernel will touch lies in its segment.
struct CachedSequences {
  std::vector<CacheSegment> segments;
  std::vector<CachedSequence> sequences;
  /// One beyond the last position.
  int64_t end = 0;

  /// `buffers`: keys and values of each segment. `segments`: of each sequence its count, position and number of
  /// segments, then of each segment start and capacity. An error throws and leaves in.ok() false.
  CachedSequences(const CachedAttention& with, Arguments& in) {
    const int64_t row_bytes = cache_row_bytes(with.cache_type, with.head_dim);
    const uintptr_t alignment = with.cache_type == kCacheF32 ? 4 : 2;
    const int64_t length = in.length_of(with.at_segments);
    int64_t rows = 0, at = 0;
    const auto require = [&](bool condition, const char* otherwise) {
      in.require(condition, with.at_segments, otherwise);
      return in.ok();
    };
    for (int64_t s = 0; in.ok() && s < with.sequences; s++) {
      if (!require(length - at >= 3, "is too short for its sequences")) return;
      const int64_t count = with.segments[at], position = with.segments[at + 1], n = with.segments[at + 2];
      if (!require(count >= 0 && position >= 0 && n >= 1, "holds a sequence of no segments")) return;
      if (!require(length - at - 3 >= 2 * n, "is too short for its segments")) return;
      const int32_t* list = with.segments + at + 3;
      for (int64_t i = 0; i < n; i++) {
        const int64_t start = list[2 * i], capacity = list[2 * i + 1];
        const int64_t stop = i + 1 < n ? list[2 * i + 2] : position + count;
        if (!require(i == 0 ? start == 0 : start >= 0, "holds a sequence that does not start at 0")) return;
        const bool fits = capacity >= 0 && stop >= start && stop - start <= capacity && start <= position;
        if (!require(fits, "holds a segment with too little room")) return;
        const size_t buffer = 2 * segments.size();
        const Shape shape = {with.kv_heads, capacity, row_bytes};
        uint8_t* keys = in.bytes_in(with.at_buffers, with.buffers, buffer, shape, alignment);
        uint8_t* values = in.bytes_in(with.at_buffers, with.buffers, buffer + 1, shape, alignment);
        if (!in.ok()) return;
        segments.push_back({keys, values, capacity, start});
      }
      sequences.push_back({count, position, n, nullptr});
      rows += count;
      at += 3 + 2 * n;
      end = position + count > end ? position + count : end;
    }
    if (!require(rows == with.batch, "holds sequences that are not the batch")) return;
    const CacheSegment* next = segments.data();
    for (CachedSequence& sequence : sequences) {
      sequence.segments = next;
      next += sequence.segment_count;
    }
  }
  // `sequences` refers to `segments`.
  CachedSequences(const CachedSequences&) = delete;
  CachedSequences& operator=(const CachedSequences&) = delete;

  void attend(const CachedAttention& with, const Kernels& kernels) const {
    const AttentionScores scores = {static_cast<float>(with.scale), static_cast<float>(with.softcap), with.window};
    const CachedAttentionShape shape = {with.batch,    with.sequences,  with.heads, with.kv_heads,
                                        with.head_dim, with.cache_type, scores};
    kernels.cached_attention(with.qkv, with.cos, with.sin, sequences.data(), with.out, shape);
  }
};

}  // namespace flicker::contract
