// Entries that keep some neurons of a row, fused: top-k (by value or by magnitude) and the statistical top-k, alone and
// inside the gated FFN, forward and backward. The threshold of a row is found again in the backward pass.
#include "activation.h"
#include "kernels.h"
#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t rows_per_task = 8;
/// Elements that are added up in single precision before double takes over.
constexpr int64_t summed_together = 32 * lanes;

/// f and, when DERIVATIVE, f′ of what is kept.
template <int32_t THEN, bool DERIVATIVE>
FLICKER_INLINE void then(vf x, vf& value, vf& slope) {
  if constexpr (THEN == kThenIdentity) {
    value = x;
    if constexpr (DERIVATIVE) slope = splat(1.f);
  } else {
    constexpr int32_t kernel = THEN == kThenRelu ? kRelu : THEN == kThenGelu ? kGelu : kSilu;
    activate<kernel, DERIVATIVE>(x, vi{}, vf{}, value, slope);
  }
}

/// Orders the floats that are numbers as integers: −∞ < … < −0 < 0 < … < ∞.
FLICKER_INLINE int32_t ordered(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits >= 0 ? bits : bits ^ INT32_MAX;
}
FLICKER_INLINE float from_ordered(int32_t place) {
  const int32_t bits = place >= 0 ? place : place ^ INT32_MAX;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// How many of the scores, a multiple of lanes, are below x. NaN never is.
int64_t below(const float* scores, int64_t padded, float x) {
  const vf limit = splat(x);
  vi even = {}, odd = {};
  int64_t i = 0;
  for (; i + 2 * lanes <= padded; i += 2 * lanes) {
    even -= load(scores + i) < limit;
    odd -= load(scores + i + lanes) < limit;
  }
  if (i < padded) even -= load(scores + i) < limit;
  return lane_sum(even + odd);
}

/// A number t such that exactly those of n scores are not below it that are not below the `rank`-th largest (from 1);
/// NaN counts as the largest. `scores`: holds n values, rounded up to a multiple of lanes. Bisection: each step counts
/// the scores below a number, so neither ties nor the order of elements matter, and it ends as soon as a number splits
/// the row rightly.
template <bool MAGNITUDE>
float largest_threshold(const float* x, int64_t n, int64_t rank, float* scores) {
  const float infinity = __builtin_inff(), nan = __builtin_nanf("");
  vf least = splat(infinity), most = splat(-infinity);
  vi unordered = {};
  int64_t padded = 0;
  for (; padded < n; padded += lanes) {
    const int64_t count = n - padded < lanes ? n - padded : lanes;
    vf score = count == lanes ? load(x + padded) : load_first(x + padded, count);
    if (MAGNITUDE) score = vabs(score);
    // NaN beyond the row: below nothing.
    for (int64_t i = count; i < lanes; i++) score[i] = nan;
    store(scores + padded, score);
    least = score < least ? score : least;
    most = score > most ? score : most;
    unordered -= score != score;
  }
  float low = infinity, high = -infinity;
  for (int i = 0; i < lanes; i++) {
    low = least[i] < low ? least[i] : low;
    high = most[i] > high ? most[i] : high;
  }
  if (lane_sum(unordered) - (padded - n) >= rank) return -infinity;  // the rank-th is NaN, below which nothing is

  // The threshold lies in [from, to): at `from` not too many are below, at `to` there are.
  const int64_t dropped = n - rank;
  if (dropped == 0) return low;
  int64_t from = ordered(low), to = static_cast<int64_t>(ordered(high)) + 1;
  for (int step = 0; to - from > 1; step++) {
    // Halving the values is faster for a usual distribution; halving the indices terminates for any.
    int64_t place = from + (to - from) / 2;
    if (step < 16) {
      const float middle =
          0.5f * from_ordered(static_cast<int32_t>(from)) + 0.5f * from_ordered(static_cast<int32_t>(to - 1));
      const int64_t other = ordered(middle);
      if (middle == middle && other > from && other < to) place = other;
    }
    const float candidate = from_ordered(static_cast<int32_t>(place));
    const int64_t count = below(scores, padded, candidate);
    if (count == dropped) return candidate;
    (count < dropped ? from : to) = place;
  }
  return from_ordered(static_cast<int32_t>(from));
}

struct Moments {
  double mean, deviation;
};

/// Mean and standard deviation of a row, the variance 10⁻¹² larger than it is (VARIANCE_FLOOR in
/// src/activations/rowwise.ts). The first mean may be a few roundings off; what the second pass finds corrects both.
Moments moments(const float* x, int64_t n) {
  const int64_t whole = n - n % lanes;
  double sum = 0;
  for (int64_t begin = 0; begin < whole; begin += summed_together) {
    const int64_t end = begin + summed_together < whole ? begin + summed_together : whole;
    vf block = {};
    for (int64_t i = begin; i < end; i += lanes) block += load(x + i);
    sum += static_cast<double>(reduce_add(block));
  }
  for (int64_t i = whole; i < n; i++) sum += static_cast<double>(x[i]);
  const float about = static_cast<float>(sum / static_cast<double>(n));
  double off = 0, squares = 0;
  for (int64_t begin = 0; begin < whole; begin += summed_together) {
    const int64_t end = begin + summed_together < whole ? begin + summed_together : whole;
    vf block = {}, block_squares = {};
    for (int64_t i = begin; i < end; i += lanes) {
      const vf d = load(x + i) - splat(about);
      block += d;
      block_squares += d * d;
    }
    off += static_cast<double>(reduce_add(block));
    squares += static_cast<double>(reduce_add(block_squares));
  }
  for (int64_t i = whole; i < n; i++) {
    const double d = static_cast<double>(x[i] - about);
    off += d;
    squares += d * d;
  }
  off /= static_cast<double>(n);
  const double variance = squares / static_cast<double>(n) - off * off;
  return {static_cast<double>(about) + off, __builtin_sqrt((variance < 0 ? 0 : variance) + 1e-12)};
}

/// The threshold of a row in two parts, the mean (rounded) and the rest, so that what stands above loses nothing to a
/// large mean. Of the largest: all of it in `rest`.
struct Threshold {
  vf mean, rest;
};
FLICKER_INLINE Threshold threshold_above(const Moments& m, double deviations) {
  const float mean = static_cast<float>(m.mean);
  const double rest = m.mean - static_cast<double>(mean) + m.deviation * deviations;
  return {splat(mean), splat(static_cast<float>(rest))};
}

/// f and f′ where a row's neurons are kept, 0 elsewhere.
template <int32_t KEEP, int32_t THEN, bool DERIVATIVE>
FLICKER_INLINE void keep(vf x, const Threshold& threshold, vf& value, vf& slope) {
  const vf zero = {};
  if constexpr (KEEP == kKeepAbove) {
    const vf z = x - threshold.mean - threshold.rest;
    then<THEN, DERIVATIVE>(z <= zero ? zero : z, value, slope);
    if constexpr (DERIVATIVE) slope = z > zero ? slope : zero;
  } else {
    const vi dropped = (KEEP == kKeepMagnitude ? vabs(x) : x) < threshold.rest;
    then<THEN, DERIVATIVE>(x, value, slope);
    value = dropped ? zero : value;
    if constexpr (DERIVATIVE) slope = dropped ? zero : slope;
  }
}

/// Calls body<KEEP, THEN>() for the selection chosen at run time.
template <typename Body>
void dispatch(const RowSelection& selection, const Body& body) {
  const auto with = [&]<int32_t KEEP>() {
    switch (selection.then) {
      case kThenRelu:
        return body.template operator()<KEEP, kThenRelu>();
      case kThenIdentity:
        return body.template operator()<KEEP, kThenIdentity>();
      case kThenGelu:
        return body.template operator()<KEEP, kThenGelu>();
      case kThenSilu:
        return body.template operator()<KEEP, kThenSilu>();
    }
  };
  switch (selection.keep) {
    case kKeepValue:
      return with.template operator()<kKeepValue>();
    case kKeepMagnitude:
      return with.template operator()<kKeepMagnitude>();
    case kKeepAbove:
      return with.template operator()<kKeepAbove>();
  }
}

/// Calls body(row, two rows of scratch memory) for every row.
template <typename Body>
void each_row(int64_t rows, int64_t width, const Body& body) {
  const int64_t room = (width + lanes - 1) / lanes * lanes;
  parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task) {
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(2 * room) * 4));
    if (memory == nullptr) return;
    const int64_t end = (task + 1) * rows_per_task < rows ? (task + 1) * rows_per_task : rows;
    for (int64_t r = task * rows_per_task; r < end; r++) body(r, memory, memory + room);
  });
}

}  // namespace

void row_selection_forward(RowSelection selection, const float* x, const float* up, float* out, int64_t rows,
                           int64_t width) {
  if (width == 0) return;
  dispatch(selection, [&]<int32_t KEEP, int32_t THEN>() {
    each_row(rows, width, [&](int64_t r, float* scores, float*) {
      const float* row = x + r * width;
      const float* factors = up == nullptr ? nullptr : up + r * width;
      float* result = out + r * width;
      Threshold threshold = {};
      if constexpr (KEEP == kKeepAbove) {
        threshold = threshold_above(moments(row, width), selection.at);
      } else {
        const int64_t rank = static_cast<int64_t>(selection.at);
        threshold.rest = splat(largest_threshold<KEEP == kKeepMagnitude>(row, width, rank, scores));
      }
      each_vector(width, [=](int64_t i, int64_t n) {
        vf value, slope;
        keep<KEEP, THEN, false>(load_n(row + i, n), threshold, value, slope);
        store_n(result + i, factors == nullptr ? value : value * load_n(factors + i, n), n);
      });
    });
  });
}

void row_selection_backward(RowSelection selection, const float* d_out, const float* x, const float* up, float* d_x,
                            float* d_up, int64_t rows, int64_t width) {
  if (width == 0) return;
  dispatch(selection, [&]<int32_t KEEP, int32_t THEN>() {
    each_row(rows, width, [&](int64_t r, float* kept_x, float* given) {
      const float *row = x + r * width, *d_row = d_out + r * width;
      const float* factors = up == nullptr ? nullptr : up + r * width;
      float *d_factors = up == nullptr ? nullptr : d_up + r * width, *result = d_x + r * width;
      Moments m = {};
      Threshold threshold = {};
      if constexpr (KEEP == kKeepAbove) {
        m = moments(row, width);
        threshold = threshold_above(m, selection.at);
        memcpy(kept_x, row, static_cast<size_t>(width) * 4);
      } else {
        const int64_t rank = static_cast<int64_t>(selection.at);
        threshold.rest = splat(largest_threshold<KEEP == kKeepMagnitude>(row, width, rank, kept_x));
      }
      vf block = {};
      double reached = 0;  // what reaches the threshold, with the opposite sign
      each_vector(width, [&](int64_t i, int64_t n) {
        vf value, slope;
        keep<KEEP, THEN, true>(load_n(row + i, n), threshold, value, slope);
        const vf d = load_n(d_row + i, n);
        const vf g = factors == nullptr ? slope * d : slope * load_n(factors + i, n) * d;
        if (factors != nullptr) store_n(d_factors + i, value * d, n);
        if constexpr (KEEP == kKeepAbove) {
          store(given + i, g);
          block += g;
          if ((i + lanes) % summed_together == 0) {
            reached += static_cast<double>(reduce_add(block));
            block = vf{};
          }
        } else {
          store_n(result + i, g, n);
        }
      });
      if constexpr (KEEP == kKeepAbove) {
        // t = mean + q·deviation, so ∂t/∂xⱼ = (1 + q·(xⱼ − mean)/deviation)/width.
        reached += static_cast<double>(reduce_add(block));
        const double share = reached / static_cast<double>(width), slant = share * selection.at / m.deviation;
        const double off = m.mean - static_cast<double>(threshold.mean[0]);
        const vf level = splat(static_cast<float>(share - slant * off)), slope = splat(static_cast<float>(slant));
        each_vector(width, [=](int64_t i, int64_t n) {
          store_n(result + i, load(given + i) - (level + slope * (load(kept_x + i) - threshold.mean)), n);
        });
      }
    });
  });
}

}  // namespace flicker::FLICKER_ISA
