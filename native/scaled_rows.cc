// The kernels of rows with one scale per 32 columns (row_products.h).
#include "row_products.h"

namespace flicker::FLICKER_ISA {

constinit const RowKernels q8_0_rows = KernelsOf<Q8Row>();
constinit const RowKernels q4_0_rows = KernelsOf<Q4Row>();

}  // namespace flicker::FLICKER_ISA
