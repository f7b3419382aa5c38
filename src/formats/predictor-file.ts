// A predictor of active neurons as a safetensors file: layers.N.in (rank, d), layers.N.out (h, rank), layers.N.bias (h).

import { CheckpointError } from '../errors.js'
import type { LayerPredictor, Predictor } from '../nn/predictor.js'
import { writeFileAtomic } from './atomic.js'
import { openSafetensors, safetensorsPieces } from './safetensors.js'

/** Writes the file, complete or not at all. Throws StorageError. */
export function writePredictor(file: string, { rank, layers }: Predictor): void {
  const tensors = layers.flatMap(({ into, out, bias }, layer) => [
    { name: `layers.${layer}.in`, shape: [rank, into.length / rank], data: into },
    { name: `layers.${layer}.out`, shape: [out.length / rank, rank], data: out },
    { name: `layers.${layer}.bias`, shape: [bias.length], data: bias },
  ])
  writeFileAtomic(file, safetensorsPieces(tensors))
}

/** Throws CheckpointError PREDICTOR_INVALID, and what openSafetensors throws. */
export function readPredictor(file: string): Predictor {
  const source = openSafetensors(file)
  try {
    const left = new Set(source.names)
    const take = (name: string, dimensions: number): { shape: readonly number[]; data: Float32Array } => {
      if (!left.delete(name)) throw invalid(file, `it has no tensor ${name}`)
      const { shape } = source.info(name)
      if (shape.length !== dimensions)
        throw invalid(file, `${name} has ${shape.length} dimensions, not ${dimensions}`)
      const data = source.readFloat32(name)
      if (data.length > 0 && data.every(Number.isFinite)) return { shape, data }
      throw invalid(file, `${name} is empty or holds a value that is not a finite number`)
    }
    const layers: LayerPredictor[] = []
    let rank = 0
    while (left.size > 0) {
      const [into, out, bias] = [
        take(`layers.${layers.length}.in`, 2),
        take(`layers.${layers.length}.out`, 2),
        take(`layers.${layers.length}.bias`, 1),
      ]
      if (layers.length === 0) rank = into.shape[0]
      if (into.shape[0] !== rank || out.shape[1] !== rank || out.shape[0] !== bias.shape[0]) {
        throw invalid(file, `the tensors of layer ${layers.length} do not belong together`)
      }
      layers.push({ into: into.data, out: out.data, bias: bias.data })
    }
    if (layers.length === 0) throw invalid(file, 'it is empty')
    return { rank, layers }
  } finally {
    source.close()
  }
}

function invalid(file: string, problem: string): CheckpointError {
  return new CheckpointError(
    'PREDICTOR_INVALID',
    `${file} is no predictor: ${problem}; make one with flicker sparsity --train-predictor FILE`,
  )
}
