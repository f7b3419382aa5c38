#include "kernels.h"
#include "parallel.h"
#include "simd.h"
namespace flicker::FLICKER_ISA {
void attention(const float*, const float*, const float*, float*, float*, AttentionShape) {}
void attention_backward(const float*, const float*, const float*, const float*, const float*, const float*, float*, float*, float*, AttentionShape) {}
}
