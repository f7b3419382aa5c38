// What cuts bring beside limits: low-rank terms and rotations, as the engine's weights.

import { FlickerError } from '../../errors.js'
import type { ModelSource, StoredTensor } from '../../formats/index.js'
import { decodeStored } from '../../formats/stored.js'
import { type DecodeKernels, type Weights, type WeightType, weightBytes } from '../../kernels/index.js'
import { allocateWeights, storeRow } from '../../kernels/weights/quantized.js'
import type { ModelConfig } from '../../nn/config.js'
import {
  type LayerCuts,
  type MatrixName,
  matrixShape,
  matrixTensor,
  ROTATED,
  ROTATED_MATRICES,
  type RotatedInput,
} from '../../nn/cuts.js'
import type { LowRankWeights } from '../cuts.js'

type Source = Pick<ModelSource, 'names' | 'info' | 'stored'>

/** What a layer's cuts bring, as `LayerWeights` has it. */
export interface CutWeights {
  readonly lowRank?: Readonly<Partial<Record<MatrixName, LowRankWeights>>>
  readonly rotations?: Readonly<Record<RotatedInput, Weights>>
}

/** Beside weights in f32, f32; beside all others f16, whose 11 bits suit values below 1. */
function typeBeside(matrices: WeightType): WeightType {
  return matrices === 'f32' ? 'f32' : 'f16'
}

/** The low-rank terms and rotations of a layer whose matrices are of type `matrices`. */
export function cutWeights(config: ModelConfig, cuts: LayerCuts | null, matrices: WeightType): CutWeights {
  const { lowRank, rotations } = cuts ?? {}
  const type = typeBeside(matrices)
  const { hiddenSize: d } = config
  return {
    ...(lowRank !== undefined && {
      lowRank: Object.fromEntries(
        Object.entries(lowRank).map(([name, { rank, into, out }]): [string, LowRankWeights] => {
          const { columns, rows } = matrixShape(config, name as MatrixName)
          return [name, { rank, into: stored(type, into, rank, columns), out: stored(type, out, rank, rows) }]
        }),
      ),
    }),
    ...(rotations !== undefined && {
      rotations: Object.fromEntries(
        ROTATED.map(input => [input, stored(type, rotations[input], d, d)]),
      ) as Record<RotatedInput, Weights>,
    }),
  }
}

/** An upper bound of the bytes of `cutWeights`. */
export function cutBytes({ lowRank = {}, rotations }: LayerCuts): number {
  const values = [
    ...Object.values(lowRank).flatMap(({ into, out }) => [into, out]),
    ...Object.values(rotations ?? {}),
  ]
  return values.reduce((sum, { length }) => sum + weightBytes('f32', length), 0)
}

function stored(type: WeightType, values: Float32Array, rows: number, columns: number): Weights {
  const weights = allocateWeights(type, rows, columns)
  for (let row = 0; row < rows; row++)
    storeRow(weights, row, values.subarray(row * columns, (row + 1) * columns))
  return weights
}

/** `source` with W · Rᵀ for every matrix W that reads an input rotated by R, one at a time. */
export function rotatedSource(
  source: Source,
  config: ModelConfig,
  cuts: readonly LayerCuts[],
  decode: DecodeKernels,
): Source {
  const rotationOf = new Map<string, Float32Array>()
  for (const [layer, { rotations }] of cuts.entries()) {
    if (rotations === undefined) continue
    for (const input of ROTATED) {
      for (const matrix of ROTATED_MATRICES[input]) {
        rotationOf.set(`${matrixTensor(layer, matrix)}.weight`, rotations[input])
      }
    }
  }
  if (rotationOf.size === 0) return source
  const { hiddenSize: d } = config
  return {
    names: source.names,
    info: name => source.info(name),
    stored(name): StoredTensor {
      const tensor = source.stored(name)
      const rotation = rotationOf.get(name)
      if (rotation === undefined) return tensor
      const values = decodeStored(tensor.dtype, tensor.bytes)
      const rows = values.length / d
      if (!Number.isInteger(rows))
        throw new FlickerError('CUTS_INVALID', `${name} does not have rows of ${d} values`)
      const rotated = new Float32Array(values.length)
      decode.matvec(rotation, values, rotated, d, d, rows, false)
      return { ...tensor, dtype: 'f32', bytes: new Uint8Array(rotated.buffer) }
    },
  }
}
