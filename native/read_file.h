#pragma once

#include <cstdint>

namespace flicker {

/// Reads `bytes` of an open file, from byte `offset` on, on all threads. Returns how many there were; -1 where reading
/// failed or where this system has no way for it: the caller then reads by its own means, which name the fault.
int64_t read_file(int file, double offset, int8_t* out, int64_t bytes);

}  // namespace flicker
