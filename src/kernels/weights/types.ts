// Matrices of weights: the types that decoding reads, and how a matrix of each is held in memory.

/** A row-major matrix: f32, bf16 as bit patterns (the upper halves of f32), or packed: f16 and the quantized types. */
export type Weights = PlainWeights | PackedWeights
export type PlainWeights = Float32Array | Uint16Array

/** Every type of weights. Native code knows each by its position in this list. */
export const weightTypes = ['f32', 'bf16', 'q8_0', 'q4_0', 'f16', 'q4_k', 'q5_k', 'q6_k'] as const
export type WeightType = (typeof weightTypes)[number]
/** Types that no typed array stands for: f32 has Float32Array, bf16 Uint16Array. */
export type PackedType = Exclude<WeightType, 'f32' | 'bf16'>
export type QuantizedType = Exclude<PackedType, 'f16'>
/** Types in super-blocks of 256 columns (k-quants.ts). */
export type KQuantType = 'q4_k' | 'q5_k' | 'q6_k'

/** Rows of weightBytes(type, columns) bytes each, one after the other. */
export interface PackedWeights<Type extends PackedType = PackedType> {
  readonly type: Type
  readonly data: Uint8Array
}
export type QuantizedWeights<Type extends QuantizedType = QuantizedType> = PackedWeights<Type>

/** Whether `w` has groups with scales. */
export function isQuantized(w: Weights): w is QuantizedWeights {
  return 'type' in w && w.type !== 'f16'
}

/** Whether weights of this type have groups with scales, and kernels that multiply integers. */
export function isQuantizedType(type: WeightType): type is QuantizedType {
  return type !== 'f32' && type !== 'bf16' && type !== 'f16'
}

export function isKQuant(type: WeightType): type is KQuantType {
  return type === 'q4_k' || type === 'q5_k' || type === 'q6_k'
}

/** The bytes that `w` is kept in. */
export function bytesOf(w: Weights): Uint8Array {
  return 'data' in w ? w.data : new Uint8Array(w.buffer, w.byteOffset, w.byteLength)
}

/** How a matrix is stored. */
export function weightTypeOf(w: Weights): WeightType {
  if (w instanceof Float32Array) return 'f32'
  return w instanceof Uint16Array ? 'bf16' : w.type
}
