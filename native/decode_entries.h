// The entries of decoding.
#pragma once

#include "cached_sequences.h"
#include "entry.h"

namespace flicker {

const Entry decode_entries[] = {
    {"matvec",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(4), columns = in.size(5), batch = in.size(6);
       const Weights w = in.weights(0, 1, rows, columns);
       const float* x = in.floats(2, batch, columns);
       float* y = in.floats(3, batch, rows);
       const bool accumulate = in.flag(7);
       const float* bias = in.floats_or_null(8, rows, 1);
       if (in.ok()) kernels.matvec(w, x, y, rows, columns, batch, accumulate, bias);
       return 0.0;
     },
     false},
    {"selectedRows",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(5), columns = in.size(6), batch = in.size(7);
       const Weights w = in.weights(0, 1, rows, columns);
       const float *chosen = in.floats(2, batch, rows), *x = in.floats(3, batch, columns);
       float* y = in.floats(4, batch, rows);
       if (in.ok()) kernels.selected_rows(w, chosen, x, y, rows, columns, batch);
       return 0.0;
     },
     false},
    {"ffnNeurons",
     [](Arguments& in, const Kernels& kernels) {
       FfnShape s = {in.size(6), in.size(7), in.size(8), in.size(9), in.flag(10), in.size(11), nullptr};
       int64_t stored = s.neurons;
       s.places = in.places(12, s.neurons, stored);
       const Weights w = in.weights(0, 1, stored, s.width, s.gated ? s.up_width : 0);
       const float *activated = in.floats(2, s.batch, s.neurons), *x = in.floats(3, s.batch, s.up_width);
       float* y = in.floats(4, s.batch, s.width);
       int32_t* active = in.ints(5, s.batch);
       return in.ok() ? static_cast<double>(kernels.ffn_neurons(w, activated, x, y, active, s)) : 0.0;
     },
     true},
    {"narrowIndex",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(5), columns = in.size(6), blocks = (columns + 255) / 256;
       const Weights w = in.wide_weights(0, 1, rows, columns);
       int8_t* codes = in.codes(2, rows, columns);
       float *scales = in.floats(3, rows, blocks), *bounds = in.floats(4, rows, blocks);
       if (in.ok()) kernels.narrow_index(w, codes, scales, bounds, rows, columns);
       return 0.0;
     },
     false},
    {"narrowGate",
     [](Arguments& in, const Kernels& kernels) {
       NarrowGateShape s = {in.size(7), in.size(8), in.size(9), static_cast<float>(in.number(10)), in.number(11), nullptr};
       const int64_t blocks = (s.columns + 255) / 256;
       const Weights w = in.wide_weights(0, 1, s.rows, s.columns);
       const NarrowIndex index = {in.codes(2, s.rows, s.columns), in.floats(3, s.rows, blocks),
                                  in.floats(4, s.rows, blocks)};
       const float* x = in.floats(5, s.batch, s.columns);
       float* y = in.floats(6, s.batch, s.rows);
       static_assert(sizeof(Draw) == 5 * sizeof(int32_t), "draws come as five words each");
       if (s.p > 0) s.draws = reinterpret_cast<const Draw*>(in.ints(12, 5 * s.batch));
       return in.ok() ? static_cast<double>(kernels.narrow_gate(w, index, x, y, s)) : 0.0;
     },
     true},
    {"cachedAttention",
     [](Arguments& in, const Kernels& kernels) {
       const CachedAttentionShape s = {in.size(5), in.size(6), in.size(7), in.size(8), in.size(9), in.cache_type(10)};
       if (in.ok() && (s.kv_heads == 0 || s.heads % s.kv_heads != 0)) in.fail(8, "must divide the number of heads");
       if (in.ok() && s.head_dim % 2 != 0) in.fail(9, "must be even");
       if (!in.ok()) return 0.0;
       const CachedSequences cached(in, 3, 11, s);
       float* qkv = in.floats(0, s.batch, (s.heads + 2 * s.kv_heads) * s.head_dim);
       const float *cos = in.floats(1, cached.end, s.head_dim / 2), *sin = in.floats(2, cached.end, s.head_dim / 2);
       float* out = in.floats(4, s.batch, s.heads * s.head_dim);
       if (in.ok()) kernels.cached_attention(qkv, cos, sin, cached.sequences.data(), out, s);
       return 0.0;
     },
     false},
};

}  // namespace flicker
