// The arguments of the small stack's kernels, checked; shared by their two entries in binding.cc.
#pragma once

#include "arguments.h"

namespace flicker {

/// Reads widths, kernel, p, seed low and high, tag, step, first row, dropout, its tag: arguments i … i + 9.
inline MlpCall mlp_call(Arguments& in, size_t i, int64_t layers) {
  MlpCall call = {};
  call.layers = layers;
  call.widths = in.ints(i, layers + 1);
  call.activation = in.activation(i + 1);
  call.draw = in.draw(i + 3);
  call.dropout = in.number(i + 8);
  call.dropout_tag = in.word(i + 9);
  if (in.ok() && layers < 1) in.fail(i, "must hold two widths or more");
  if (in.ok() && !(call.dropout >= 0 && call.dropout < 1)) in.fail(i + 8, "must lie in [0, 1)");
  for (int64_t l = 0; in.ok() && l <= layers; l++)
    if (call.widths[l] < 1) in.fail(i, "holds a width below 1");
  return call;
}

/// How many numbers the stack's parameters are; −1 when that is more than can be.
inline int64_t mlp_parameters(const MlpCall& call) {
  int64_t total = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    total += (static_cast<int64_t>(call.widths[l]) + 1) * call.widths[l + 1];
    if (total > (int64_t{1} << 31)) return -1;
  }
  return total;
}

/// Σ widths of the hidden layers.
inline int64_t mlp_hidden(const MlpCall& call) {
  int64_t total = 0;
  for (int64_t l = 1; l < call.layers; l++) total += call.widths[l];
  return total;
}

}  // namespace flicker
