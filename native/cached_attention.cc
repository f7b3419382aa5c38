// Attention of new positions over a cache of keys and values.
//
// A row's sums have one order, given by its position alone: its positions are cut into chunks of 128, counted from the
// start of its sequence; each chunk has its own softmax and its own sum of weighted values (orders within:
// lane_sums.h), and the chunks are put together from the first to the last. So the bits are the same for any number of
// threads, for rows computed together or alone, and however a sequence is kept in segments.
#include "cache_rows.h"
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t chunk = 128;                // positions
constexpr int64_t span_queries = 96;          // queries that share a widened key, at most
constexpr int64_t stretch_bytes = 256 << 10;  // of keys that are read before their values
constexpr int64_t partial_bytes = 8 << 20;    // working memory for chunks that wait to be put together, about

/// scores (n) → e^(score − largest), each first scaled and capped; returns the largest, and the sum of the results in
/// *sum.
float chunk_softmax(float* scores, int64_t n, float scale, float softcap, float* sum) {
  vf largest = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    vf s = load(scores + i) * scale;
    if (softcap != 0) s = vtanh(s * splat(1.f / softcap)) * splat(softcap);
    store(scores + i, s);
    largest = vmax(largest, s);
  }
  float top = reduce_max(largest);
  for (; i < n; i++) {
    scores[i] *= scale;
    if (softcap != 0) scores[i] = (vtanh(splat(scores[i] / softcap)) * splat(softcap))[0];
    top = scores[i] > top ? scores[i] : top;
  }
  vf total = {};
  for (i = 0; i + lanes <= n; i += lanes) {
    const vf weight = vexp(load(scores + i) - splat(top));
    store(scores + i, weight);
    total += weight;
  }
  if (i < n) {
    store_first(scores + i, vexp(load_first(scores + i, n - i) - splat(top)), n - i);
    total += load_first(scores + i, n - i);
  }
  *sum = reduce_add(total);
  return top;
}

/// One row of the batch: a new position of a sequence.
struct Place {
  const CachedSequence* sequence;
  int64_t position;
};

/// The sums of one chunk, or of the chunks so far, of one row and head.
struct Partial {
  float largest, total;
};

struct Call {
  CachedAttentionShape shape;
  const float* qkv;
  float* out;
  const Place* places;  // (batch)
  int64_t group, row, row_bytes;
  RowStorage storage;
  float scale;
  // Of the chunks first_chunk, first_chunk + 1, …: (chunk, kv_heads, batch, group), and as many sums of head_dim.
  Partial* partials;
  float* sums;
  int64_t first_chunk;

  /// Query number `of` of row b among those of one key head.
  const float* query(int64_t b, int64_t kv_head, int64_t of) const {
    return qkv + b * row + (kv_head * group + of) * shape.head_dim;
  }
  int64_t partial_at(int64_t chunk_number, int64_t kv_head, int64_t b) const {
    return (((chunk_number - first_chunk) * shape.kv_heads + kv_head) * shape.batch + b) * group;
  }

  /// The rows [first, last) of the batch that read the same segment, number `index` of their sequences, and from it
  /// positions [start, end).
  struct Run {
    int64_t first, last, start, end;
    const CacheSegment* segment;
  };

  /// The run that begins with row b; rows up to `last`.
  Run run_of(int64_t b, int64_t last, int64_t index, int64_t chunk_start) const {
    const CachedSequence& sequence = *places[b].sequence;
    const CacheSegment& segment = sequence.segments[index];
    const bool newest = index + 1 == sequence.segment_count;
    const auto joins = [&](const CachedSequence& other) {
      if (&other == &sequence) return true;
      if (newest || index + 1 >= other.segment_count) return false;
      const CacheSegment& its = other.segments[index];
      return its.keys == segment.keys && its.values == segment.values && its.start == segment.start &&
             its.capacity == segment.capacity && other.segments[index + 1].start == sequence.segments[index + 1].start;
    };
    int64_t end = b + 1;
    while (end < last && joins(*places[end].sequence)) end++;
    const int64_t stop = newest ? places[end - 1].position + 1 : sequence.segments[index + 1].start;
    return {b, end, segment.start > chunk_start ? segment.start : chunk_start, min(stop, chunk_start + chunk),
            &segment};
  }

  /// Calls body(run) for everything that rows [first, last) read of the chunk, each row's positions in order.
  template <typename Body>
  void each_run(int64_t first, int64_t last, int64_t chunk_start, const Body& body) const {
    bool more = true;
    for (int64_t index = 0; more; index++) {
      more = false;
      for (int64_t b = first; b < last;) {
        if (index >= places[b].sequence->segment_count) {
          b++;
          continue;
        }
        more = true;
        Run run = run_of(b, last, index, chunk_start);
        b = run.last;
        // Positions of a sequence ascend: the first rows may end before what is read here.
        while (run.first < run.last && places[run.first].position < run.start) run.first++;
        if (run.first < run.last && run.start < run.end) body(run);
      }
    }
  }

  /// The keys that are likely read after those of the run: the next chunk's, or the next head's.
  const uint8_t* keys_after(const Run& run, int64_t kv_head) const {
    const CacheSegment& segment = *run.segment;
    const bool more = run.end <= places[run.last - 1].position && run.end - segment.start < segment.capacity;
    if (!more && kv_head + 1 == shape.kv_heads) return nullptr;
    const int64_t at = more ? kv_head * segment.capacity + run.end - segment.start : (kv_head + 1) * segment.capacity;
    return segment.keys + at * row_bytes;
  }

  /// The chunks [from, to) for rows [first, last) of the batch and the query heads of one key head. The keys of all are
  /// read before the values: memory comes at full speed only after some 100 KiB of a line.
  void attend(int64_t from, int64_t to, int64_t first, int64_t last, int64_t kv_head) const {
    const int64_t dim = shape.head_dim, queries = (last - first) * group;
    int64_t oldest = shape.scores.oldest(places[first].position);
    for (int64_t b = first; b < last; b++) oldest = min(oldest, shape.scores.oldest(places[b].position));
    if (from < oldest / chunk) from = min(to, oldest / chunk);
    if (from == to) return;
    const int64_t packed_floats = packed_size(queries, dim), each = queries * chunk;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(packed_floats + (to - from + 1) * each) * 4));
    if (memory == nullptr) return;
    float *const scores = memory + packed_floats, *const transposed = scores + (to - from) * each;
    const auto scores_of = [&](const Run& run) {
      return scores + (run.start / chunk - from) * each + (run.first - first) * group * chunk + run.start % chunk;
    };
    // What comes behind the keys is asked for with the last of them: the first values.
    const uint8_t* values = nullptr;
    for (int64_t number = from; number < to; number++)
      each_run(first, last, number * chunk, [&](const Run& run) {
        if (values == nullptr) values = rows_of(run, run.segment->values, kv_head).data;
        score(run, kv_head, memory, scores_of(run), number + 1 == to ? values : nullptr);
      });
    for (int64_t number = from; number < to; number++)
      weigh(number, first, last, kv_head, scores + (number - from) * each);
    for (int64_t number = from; number < to; number++)
      each_run(first, last, number * chunk,
               [&](const Run& run) { gather(run, kv_head, scores_of(run), transposed, number + 1 == to); });
  }

  /// scores (queries, chunk) of a run: its queries times its keys. `next`: what is asked for meanwhile, or null.
  void score(const Run& run, int64_t kv_head, float* memory, float* scores, const uint8_t* next) const {
    const int64_t dim = shape.head_dim, some = (run.last - run.first) * group, count = run.end - run.start;
    const auto query_at = [&](int64_t q) { return query(run.first + q / group, kv_head, q % group); };
    const RowMatrix keys = rows_of(run, run.segment->keys, kv_head);
    if (some == 1) {
      row_kernels[storage.type]->dots_in_line(keys.line(0, count, next), query_at(0), dim, scores);
      return;
    }
    const Tiles tiles = some <= most_direct(storage.type) ? Tiles(some, max_direct) : Tiles(some);
    tiles.each([&](int64_t of, int64_t width) { pack_tile(query_at, dim, of, width, memory + packed_size(of, dim)); });
    const auto key_at = [&](int64_t i) { return keys[i]; };
    const auto put = [&](int64_t i, int64_t q, int64_t width, const float* dots) {
      for (int64_t c = 0; c < width; c++) scores[(q + c) * chunk + i] = dots[c];
    };
    const Packed packed = {memory, tiles, dim};
    // Behind the keys come the values: rows are too short to ask for the next alone.
    const RowMatrix values = rows_of(run, run.segment->values, kv_head);
    const auto key_or_value_at = [&](int64_t i) { return i < count ? keys[i] : values[i - count]; };
    if (some <= most_direct(storage.type))
      direct_dots(storage, key_or_value_at, count, 2 * count, packed, put, ahead());
    else
      packed_dots(storage, key_at, count, count, packed, put);
  }

  /// The weights of a chunk, unnormalized, in place of its scores: 0 for what a row does not see.
  void weigh(int64_t number, int64_t first, int64_t last, int64_t kv_head, float* scores) const {
    const int64_t chunk_start = number * chunk;
    Partial* partial = partials + partial_at(number, kv_head, first);
    for (int64_t q = 0; q < (last - first) * group; q++) {
      const int64_t position = places[first + q / group].position, n = min(chunk, position + 1 - chunk_start);
      if (n <= 0) continue;
      int64_t begin = shape.scores.oldest(position) - chunk_start;
      begin = begin < 0 ? 0 : min(n, begin);
      if (begin < n)
        partial[q].largest =
            chunk_softmax(scores + q * chunk + begin, n - begin, scale, shape.scores.softcap, &partial[q].total);
      memset(scores + q * chunk, 0, static_cast<size_t>(begin) * 4);
      memset(scores + q * chunk + n, 0, static_cast<size_t>(chunk - n) * 4);
    }
  }

  /// The sums of a run's values, added to those of its chunk. `ends`: other keys are read next.
  void gather(const Run& run, int64_t kv_head, const float* weights, float* transposed, bool ends) const {
    const int64_t dim = shape.head_dim, some = (run.last - run.first) * group, count = run.end - run.start;
    const RowMatrix values = rows_of(run, run.segment->values, kv_head);
    const auto value_at = [&](int64_t i) { return values[i]; };
    float* to = sums + partial_at(run.start / chunk, kv_head, run.first) * dim;
    const bool add = run.start % chunk != 0;
    if (some > few) {
      for (int64_t q = 0; q < some; q++)
        for (int64_t i = 0; i < count; i++) transposed[i * some + q] = weights[q * chunk + i];
      weighted_rows(storage, value_at, transposed, some, count, some, to, dim, dim, add);
      return;
    }
    if (!add) memset(to, 0, static_cast<size_t>(some * dim) * 4);
    if (some > 1)
      add_values(value_at, count, weights, some, to);
    else
      row_kernels[storage.type]->sums_in_line(values.line(0, count, ends ? keys_after(run, kv_head) : nullptr), weights,
                                              to, dim);
  }

  /// Rows that a memory's latency takes to arrive.
  int64_t ahead() const { return ceil_div(8192, row_bytes); }

  /// sums (queries × head_dim) += Σ_i weights[query · chunk + i] · value_at(i), for a few queries.
  template <typename RowAt>
  void add_values(const RowAt& value_at, int64_t count, const float* weights, int64_t queries, float* to) const {
    const Tiles tiles(queries, max_direct);
    for (int64_t i = 0; i < count; i += tile_rows) {
      const RowPointers values = rows_from(storage, value_at, i, tile_rows, count, count, ahead());
      tiles.each([&](int64_t q, int64_t width) {
        float factors[tile_rows * max_direct];
        for (int64_t r = 0; r < tile_rows; r++)
          for (int64_t c = 0; c < width; c++)
            factors[r * width + c] = i + r < count ? weights[(q + c) * chunk + i + r] : 0.f;
        row_kernels[storage.type]->sums[width](values, factors, to + q * shape.head_dim, shape.head_dim, 0,
                                               shape.head_dim);
      });
    }
  }

  RowMatrix rows_of(Run run, const uint8_t* data, int64_t kv_head) const {
    const int64_t at = kv_head * run.segment->capacity + run.start - run.segment->start;
    return {storage, data + at * row_bytes, row_bytes};
  }

  /// Puts `count` chunks of one row and head together with those before them; `so_far` is its state.
  void combine(int64_t b, int64_t head, int64_t count, Partial& so_far) const {
    const int64_t dim = shape.head_dim, last = places[b].position / chunk;
    const int64_t oldest = shape.scores.oldest(places[b].position) / chunk;
    float* total = out + (b * shape.heads + head) * dim;
    for (int64_t c = first_chunk < oldest ? oldest - first_chunk : 0; c < count && first_chunk + c <= last; c++) {
      const int64_t at = partial_at(first_chunk + c, head / group, b) + head % group;
      const Partial next = partials[at];
      const float* sum = sums + at * dim;
      if (first_chunk + c == oldest) {
        so_far = next;
        memcpy(total, sum, static_cast<size_t>(dim) * 4);
      } else {
        const float largest = next.largest > so_far.largest ? next.largest : so_far.largest;
        const float before = vexp(splat(so_far.largest - largest))[0], now = vexp(splat(next.largest - largest))[0];
        so_far = {largest, so_far.total * before + next.total * now};
        scale_add(total, before, sum, now);
      }
    }
    if (last >= first_chunk && last < first_chunk + count) scale_add(total, 1.f / so_far.total, nullptr, 0.f);
  }

  /// total = total · a + sum · b.
  void scale_add(float* total, float a, const float* sum, float b) const {
    const auto add = [&](int64_t k, const auto& from, const auto& to) {
      vf t = from(total + k) * splat(a);
      if (sum != nullptr) t += from(sum + k) * splat(b);
      to(total + k, t);
    };
    int64_t k = 0;
    for (; k + lanes <= shape.head_dim; k += lanes)
      add(
          k, [](const float* p) { return load(p); }, [](float* p, vf v) { store(p, v); });
    const int64_t rest = shape.head_dim - k;
    if (rest > 0)
      add(
          k, [&](const float* p) { return load_first(p, rest); }, [&](float* p, vf v) { store_first(p, v, rest); });
  }
};

}  // namespace

void cached_attention(float* qkv, const float* cos, const float* sin, const CachedSequence* sequences, float* out,
                      CachedAttentionShape shape) {
  const int64_t batch = shape.batch, heads = shape.heads, kv_heads = shape.kv_heads, dim = shape.head_dim;
  if (batch == 0 || heads == 0 || dim == 0) return;
  const int64_t group = heads / kv_heads, row_bytes = cache_row_bytes(shape.type, dim);
  const int64_t span = group < span_queries ? span_queries / group : 1, spans = ceil_div(batch, span);

  int64_t longest = 0;
  for (int64_t s = 0; s < shape.sequences; s++) {
    const int64_t end = sequences[s].count == 0 ? 0 : sequences[s].position + sequences[s].count;
    longest = end > longest ? end : longest;
  }
  const int64_t chunks = ceil_div(longest, chunk), chunk_floats = batch * heads * (dim + 2);
  const int64_t per_wave = min(chunks, partial_bytes / 4 / chunk_floats + 1);
  const int64_t places_bytes = ceil_div(batch * static_cast<int64_t>(sizeof(Place)), 64) * 64;
  uint8_t* memory = static_cast<uint8_t*>(
      scratch(0, static_cast<uint64_t>(places_bytes + (per_wave * chunk_floats + 2 * batch * heads) * 4)));
  if (memory == nullptr) return;
  Place* places = reinterpret_cast<Place*>(memory);
  float* sums = reinterpret_cast<float*>(memory + places_bytes);
  Partial* partials = reinterpret_cast<Partial*>(sums + per_wave * batch * heads * dim);
  Partial* states = partials + per_wave * batch * heads;

  Place* place = places;
  for (int64_t s = 0; s < shape.sequences; s++)
    for (int64_t i = 0; i < sequences[s].count; i++) *place++ = {sequences + s, sequences[s].position + i};

  Call call = {shape,
               qkv,
               out,
               places,
               group,
               (heads + 2 * kv_heads) * dim,
               row_bytes,
               stored_as(shape.type, dim),
               shape.scores.scale_of(dim),
               partials,
               sums,
               0};
  // Little work is not worth waking the other threads for; all are to have equal parts, not many.
  const auto in_parallel = [](int64_t jobs, int64_t work_each, const auto& body) {
    const int64_t threads = thread_count(), worth = jobs * (work_each + 1) / 16384;
    const int64_t per_part = ceil_div(jobs, worth < 2 ? 1 : min(ceil_div(worth, threads), 8) * threads);
    parallel_for(ceil_div(jobs, per_part), [&](int64_t part) {
      for (int64_t job = part * per_part; job < min(jobs, (part + 1) * per_part); job++) body(job);
    });
  };
  in_parallel(batch, call.row * 4, [&](int64_t b) {
    const CachedSequence& sequence = *places[b].sequence;
    const CacheSegment& segment = sequence.segments[sequence.segment_count - 1];
    const int64_t at = places[b].position;
    const auto place_of = [&](int64_t head) { return (head * segment.capacity + at - segment.start) * row_bytes; };
    // Each head has its own cache line: all are fetched at once while the rotation is computed.
    for (int64_t head = 0; head < kv_heads; head++)
      for (int64_t k = 0; k < row_bytes; k += 64) {
        __builtin_prefetch(segment.keys + place_of(head) + k, 1);
        __builtin_prefetch(segment.values + place_of(head) + k, 1);
      }
    float* q = qkv + b * call.row;
    rope(q, cos + at * dim / 2, sin + at * dim / 2, q, 1, 1, heads + kv_heads, dim, false);
    const float *k = q + heads * dim, *v = k + kv_heads * dim;
    for (int64_t head = 0; head < kv_heads; head++) {
      store_cached(shape.type, k + head * dim, dim, segment.keys + place_of(head));
      store_cached(shape.type, v + head * dim, dim, segment.values + place_of(head));
    }
  });
  // Of a single query; more of them take longer to compute than to read. All threads are to have a few.
  const int64_t most_stretch = chunks * kv_heads / (4 * thread_count());
  const int64_t stretch =
      batch * group > 1 || most_stretch < 2 ? 1 : min(most_stretch, ceil_div(stretch_bytes, chunk * row_bytes));
  for (call.first_chunk = 0; call.first_chunk < chunks; call.first_chunk += per_wave) {
    const int64_t count = min(per_wave, chunks - call.first_chunk), rows = min(span, batch);
    // The chunks of a head follow each other in memory.
    const int64_t stretches = ceil_div(count, stretch);
    in_parallel(stretches * spans * kv_heads, stretch * min(longest, chunk) * dim * rows * group, [&](int64_t job) {
      const int64_t from = call.first_chunk + job % stretches * stretch, first = job / stretches % spans * span;
      const int64_t head = job / stretches / spans, last = min(batch, first + span);
      call.attend(from, min(from + stretch, call.first_chunk + count), first, last, head);
      if (chunks > 1) return;
      // Nothing to wait for.
      for (int64_t b = first; b < last; b++)
        for (int64_t i = head * group; i < (head + 1) * group; i++) call.combine(b, i, 1, states[b * heads + i]);
    });
    if (chunks == 1) return;
    in_parallel(batch * heads, count * dim * 4,
                [&](int64_t i) { call.combine(i / heads, i % heads, count, states[i]); });
  }
}

}  // namespace flicker::FLICKER_ISA
