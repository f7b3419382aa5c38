// The kernels of ggml's K-quants (row_products.h).
#include "row_products.h"

namespace flicker::FLICKER_ISA {

constinit const RowKernels q4_k_rows = KernelsOf<Q4KRow>();
constinit const RowKernels q5_k_rows = KernelsOf<Q5KRow>();
constinit const RowKernels q6_k_rows = KernelsOf<Q6KRow>();

}  // namespace flicker::FLICKER_ISA
