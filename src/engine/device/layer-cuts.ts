// The cuts of a layer on the device (`flicker sparsify`): of the inputs of matrices, what stands for what they leave out, and the
// rotations that they are made in. The numbers of a cut of neurons are in layer-numbers.ts.

import type { DeviceMatrix, DeviceMemory } from '../../kernels/webgpu/index.js'
import type { ModelConfig } from '../../nn/config.js'
import {
  type Cut,
  type LayerCuts,
  MATRICES,
  type MatrixName,
  matrixShape,
  type RotatedInput,
} from '../../nn/cuts.js'

export interface DeviceLowRank {
  readonly rank: number
  /** (rank, columns). */
  readonly into: DeviceMatrix
  /** (rows, rank). */
  readonly out: DeviceMatrix
}

/** A cut of the input of a matrix. */
export interface DeviceCut {
  readonly cut: Cut
  /** Its limits or scales; null: none. */
  readonly numbers: GPUBuffer | null
  readonly lowRank: DeviceLowRank | null
}

/** The cuts of a layer. */
export interface DeviceLayerCuts {
  /** Of the activated neurons. */
  readonly neurons: Cut | null
  readonly inputs: Readonly<Partial<Record<MatrixName, DeviceCut>>>
  /** (d, d) each. */
  readonly rotations: Readonly<Record<RotatedInput, DeviceMatrix>> | null
}

export function uploadCuts(memory: DeviceMemory, config: ModelConfig, cuts: LayerCuts): DeviceLayerCuts {
  const { hiddenSize: d } = config
  const square = (values: Float32Array) => memory.upload(values, { rows: d, columns: d })
  const inputs: Partial<Record<MatrixName, DeviceCut>> = {}
  for (const name of MATRICES) {
    const cut = cuts.inputs[name]
    if (cut === undefined) continue
    const values = cut.kind === 'top' ? cut.scale : cut.limits
    const term = cuts.lowRank?.[name]
    const { rows, columns } = matrixShape(config, name)
    inputs[name] = {
      cut,
      numbers: values && memory.numbers(values),
      lowRank:
        term === undefined
          ? null
          : {
              rank: term.rank,
              into: memory.upload(term.into, { rows: term.rank, columns }),
              out: memory.upload(transposed(term.out, term.rank, rows), { rows, columns: term.rank }),
            },
    }
  }
  const { rotations } = cuts
  return {
    neurons: cuts.neurons,
    inputs,
    rotations: rotations ? { attention: square(rotations.attention), ffn: square(rotations.ffn) } : null,
  }
}

/** (columns, rows) of (rows, columns). */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(values, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)])
}

/** Whether something is done to the normed input of attention or of the FFN. */
export function cutsInput(cuts: LayerCuts | null, input: RotatedInput): boolean {
  const matrices = input === 'attention' ? (['q', 'k', 'v'] as const) : (['gate', 'up', 'down'] as const)
  return cuts !== null && (cuts.rotations !== undefined || matrices.some(name => name in cuts.inputs))
}
