// The table of row_kernels.h.
#include "row_kernels.h"

namespace flicker::FLICKER_ISA {

constinit const RowKernels* const row_kernels[weight_types] = {
    &f32_rows, &bf16_rows, &q8_0_rows, &q4_0_rows, &f16_rows, &q4_k_rows, &q5_k_rows, &q6_k_rows,
};
static_assert(kF32 == 0 && kBf16 == 1 && kQ8_0 == 2 && kQ4_0 == 3 && kF16 == 4 && kQ4_k == 5 && kQ5_k == 6 &&
              kQ6_k == 7 && weight_types == 8);

}  // namespace flicker::FLICKER_ISA
