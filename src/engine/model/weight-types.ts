// Which types a model's matrices have in memory, for people: `q4_k (q, k, o, gate, up), q6_k (v, down, embedding, head)`.

import { type Weights, type WeightType, weightTypeOf } from '../../kernels/index.js'
import { type EngineWeights, type LayerWeights, storedNeurons } from './weights.js'

/** Matrices by the type that they have in memory, in any layer: a name stands in several lists where layers differ. */
export function weightTypes({ embedding, head, layers }: EngineWeights): Map<WeightType, Set<string>> {
  const types = new Map<WeightType, Set<string>>()
  const add = (name: string, weights: Weights) => {
    const type = weightTypeOf(weights)
    types.set(type, (types.get(type) ?? new Set()).add(name))
  }
  for (const layer of layers) {
    for (const [name, weights] of layerMatrices(layer)) add(name, weights)
  }
  add('embedding', embedding)
  add('head', head)
  return types
}

function layerMatrices(layer: LayerWeights): [name: string, Weights][] {
  const { qkv, output, gate, up, gated, experts, down = null } = layer
  // One block has q, k and v; else each has its own.
  const attention = ['q', 'k', 'v'].map((name, i): [string, Weights] => [name, (qkv[i] ?? qkv[0]).weights])
  const ups: [string, Weights][] = up !== null ? [['up', up]] : gated ? [['up', storedNeurons(layer)]] : []
  const router: [string, Weights][] = experts ? [['router', experts.router]] : []
  return [
    ...attention,
    ['o', output],
    ...router,
    ['gate', gate],
    ...ups,
    ['down', down ?? storedNeurons(layer)],
  ]
}

/** In one line. */
export function weightTypesText(weights: EngineWeights): string {
  return [...weightTypes(weights)].map(([type, names]) => `${type} (${[...names].join(', ')})`).join('; ')
}
