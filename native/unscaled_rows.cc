// The kernels of rows without scales (row_products.h).
#include "row_products.h"

namespace flicker::FLICKER_ISA {

constinit const RowKernels f32_rows = KernelsOf<F32Row>();
constinit const RowKernels bf16_rows = KernelsOf<Bf16Row>();
constinit const RowKernels f16_rows = KernelsOf<F16Row>();

}  // namespace flicker::FLICKER_ISA
