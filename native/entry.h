// One function that JavaScript can call: reads and checks its arguments, then calls the chosen instruction set's kernel.
#pragma once

#include "arguments.h"

namespace flicker {

struct Entry {
  const char* name;
  double (*call)(Arguments& in, const Kernels& kernels);
  bool returns;
};

/// All tokens in [0, vocab)? Checked here so that the kernels need not.
inline bool tokens_in_range(Arguments& in, size_t i, const int32_t* tokens, int64_t n, int64_t from, int64_t vocab) {
  for (int64_t r = 0; in.ok() && r < n; r++)
    if (tokens[r] < from || tokens[r] >= vocab) in.fail(i, "holds a token outside the vocabulary");
  return in.ok();
}

}  // namespace flicker
