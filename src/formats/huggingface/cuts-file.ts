// The cuts of a model that `flicker sparsify` wrote: cuts.safetensors beside the weights, with tensors named after the
// matrices, and what they are under `flicker.sparsity` in config.json. Other programs ignore both and run the weights.
//
// model.layers.N.self_attn.q_proj.input_threshold   (1) or (columns): |x_j| below it becomes 0
// model.layers.N.self_attn.k_proj.input_keep        (1): how many elements stay; .input_scale (columns): their weights
// model.layers.N.mlp.neuron_threshold               (1) or (h): of activation(gate · x); neuron_keep, neuron_scale
// model.layers.N.self_attn.q_proj.low_rank_in       (rank, columns) and .low_rank_out (rank, rows): for what is left out
// model.layers.N.self_attn.rotation, .mlp.rotation  (d, d): inputs are cut in these axes, one a row

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { CheckpointError } from '../../errors.js'
import type { ModelConfig } from '../../nn/config.js'
import {
  type Cut,
  type LayerCuts,
  type LowRank,
  matricesOf,
  matrixShape,
  matrixTensor,
  ROTATED,
  type RotatedInput,
} from '../../nn/cuts.js'
import { type NamedTensor, openSafetensors, type TensorSource } from '../safetensors.js'

export const CUTS_FILE = 'cuts.safetensors'

/** What stands under `flicker.sparsity`. */
export const sparsityRecordSchema = z.looseObject({
  /** Always true: the model with its cuts is not the model of its weights. */
  approximate: z.literal(true),
  method: z.string(),
  /** The sparsity asked for, between 0 and 1. */
  level: z.number(),
  calibration: z.looseObject({ sha256: z.string(), tokens: z.int() }),
})
export type SparsityRecord = z.infer<typeof sparsityRecordSchema>

/** The tensors of CUTS_FILE. */
export function cutTensors(cuts: readonly LayerCuts[]): NamedTensor[] {
  return cuts.flatMap(({ neurons, inputs, lowRank = {}, rotations }, layer) => [
    ...(neurons === null ? [] : tensorsOf(neurons, `model.layers.${layer}.mlp.neuron`)),
    ...Object.entries(inputs).flatMap(([matrix, cut]) =>
      tensorsOf(cut, `${matrixTensor(layer, matrix as keyof typeof inputs)}.input`),
    ),
    ...Object.entries(lowRank).flatMap(([matrix, { rank, into, out }]) => {
      const name = matrixTensor(layer, matrix as keyof typeof inputs)
      return [
        { name: `${name}.low_rank_in`, shape: [rank, into.length / rank], data: into },
        { name: `${name}.low_rank_out`, shape: [rank, out.length / rank], data: out },
      ]
    }),
    ...(rotations === undefined
      ? []
      : ROTATED.map(input => {
          const data = rotations[input]
          const d = Math.sqrt(data.length)
          return { name: rotationTensor(layer, input), shape: [d, d], data }
        })),
  ])
}

function rotationTensor(layer: number, input: RotatedInput): string {
  return `model.layers.${layer}.${input === 'attention' ? 'self_attn' : 'mlp'}.rotation`
}

function tensorsOf(cut: Cut, name: string): NamedTensor[] {
  const vector = (suffix: string, data: Float32Array): NamedTensor => {
    return { name: `${name}_${suffix}`, shape: [data.length], data }
  }
  if (cut.kind === 'threshold') return [vector('threshold', cut.limits)]
  return [
    vector('keep', Float32Array.of(cut.keep)),
    ...(cut.scale === null ? [] : [vector('scale', cut.scale)]),
  ]
}

/**
 * The cuts of the checkpoint in `directory`; null for one without. flicker: what stands under `flicker` in config.json.
 * Throws CheckpointError CUTS_INVALID, and what openSafetensors throws.
 */
export function readCuts(
  directory: string,
  config: ModelConfig,
  flicker: Record<string, unknown>,
): LayerCuts[] | null {
  if (flicker.sparsity === undefined) return null
  const record = sparsityRecordSchema.safeParse(flicker.sparsity)
  const file = path.join(directory, CUTS_FILE)
  if (!record.success) {
    throw invalid(directory, `flicker.sparsity in config.json lacks ${record.error.issues[0].path.join('.')}`)
  }
  if (!fs.existsSync(file)) throw invalid(directory, `${CUTS_FILE} is missing`)
  const source = openSafetensors(file)
  try {
    return layerCuts(source, config, directory)
  } finally {
    source.close()
  }
}

function layerCuts(source: TensorSource, config: ModelConfig, directory: string): LayerCuts[] {
  const left = new Set(source.names)
  const take = (name: string, length: number): Float32Array | null => {
    if (!left.delete(name)) return null
    const { shape } = source.info(name)
    if (shape.length !== 1 || (shape[0] !== length && shape[0] !== 1)) {
      throw invalid(directory, `${name} has the shape [${shape.join(', ')}], not [${length}]`)
    }
    const values = source.readFloat32(name)
    if (values.every(value => value >= 0)) return values
    throw invalid(directory, `${name} holds a value that is negative or not a number`)
  }
  const cutOf = (name: string, length: number): Cut | null => {
    const limits = take(`${name}_threshold`, length)
    if (limits !== null) return { kind: 'threshold', limits }
    const keep = take(`${name}_keep`, 1)
    const scale = take(`${name}_scale`, length)
    if (keep === null) return null
    if (!Number.isInteger(keep[0]) || keep[0] < 1 || keep[0] > length) {
      throw invalid(directory, `${name}_keep is ${keep[0]}, which is no integer from 1 to ${length}`)
    }
    if (scale !== null && scale.length !== length) {
      throw invalid(directory, `${name}_scale has ${scale.length} values, not ${length}`)
    }
    return { kind: 'top', keep: keep[0], scale }
  }
  /** A matrix with rows of `columns` values; null without. */
  const matrixOf = (name: string, columns: number): { rows: number; values: Float32Array } | null => {
    if (!left.delete(name)) return null
    const { shape } = source.info(name)
    if (shape.length !== 2 || shape[1] !== columns || shape[0] < 1) {
      throw invalid(directory, `${name} has the shape [${shape.join(', ')}], not [rows, ${columns}]`)
    }
    const values = source.readFloat32(name)
    if (values.every(Number.isFinite)) return { rows: shape[0], values }
    throw invalid(directory, `${name} holds a value that is not a finite number`)
  }
  const lowRankOf = (name: string, { columns, rows }: { columns: number; rows: number }): LowRank | null => {
    const into = matrixOf(`${name}.low_rank_in`, columns)
    const out = matrixOf(`${name}.low_rank_out`, rows)
    if (into === null && out === null) return null
    if (into?.rows !== out?.rows || into === null || out === null) {
      throw invalid(directory, `${name}.low_rank_in and low_rank_out do not have as many rows`)
    }
    return { rank: into.rows, into: into.values, out: out.values }
  }
  const rotationOf = (layer: number, input: RotatedInput): Float32Array | null => {
    const { hiddenSize: d } = config
    const found = matrixOf(rotationTensor(layer, input), d)
    if (found !== null && found.rows !== d) {
      throw invalid(directory, `${rotationTensor(layer, input)} has ${found.rows} rows, not ${d}`)
    }
    return found?.values ?? null
  }
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer): LayerCuts => {
    const inputs = matricesOf(config).flatMap(matrix => {
      const cut = cutOf(`${matrixTensor(layer, matrix)}.input`, matrixShape(config, matrix).columns)
      return cut === null ? [] : [[matrix, cut] as const]
    })
    const lowRank = matricesOf(config).flatMap(matrix => {
      const term = lowRankOf(matrixTensor(layer, matrix), matrixShape(config, matrix))
      return term === null ? [] : [[matrix, term] as const]
    })
    const [attention, ffn] = ROTATED.map(input => rotationOf(layer, input))
    if ((attention === null) !== (ffn === null)) {
      throw invalid(directory, `layer ${layer} has a rotation for one of its inputs alone`)
    }
    return {
      neurons: cutOf(`model.layers.${layer}.mlp.neuron`, config.intermediateSize),
      inputs: Object.fromEntries(inputs),
      ...(lowRank.length > 0 && { lowRank: Object.fromEntries(lowRank) }),
      ...(attention !== null && ffn !== null && { rotations: { attention, ffn } }),
    }
  })
  const [unknown] = left
  if (unknown !== undefined)
    throw invalid(directory, `${CUTS_FILE} has ${unknown}, which this model has no place for`)
  return layers
}

function invalid(directory: string, problem: string): CheckpointError {
  return new CheckpointError(
    'CUTS_INVALID',
    `${directory}: ${problem}; run flicker sparsify again, or use --exact to run its weights without cuts`,
  )
}
