// `flicker inspect`: what a model is and what it takes, without loading it.

import { Command } from 'commander'
import { cacheBytesPerPosition, gigabytes, systemMemory } from '../engine/model/memory.js'
import { type EngineDtype, WeightLayout } from '../engine/model/weight-layout.js'
import { openModel } from '../formats/index.js'
import { storedBytes } from '../formats/stored.js'
import type { CacheType } from '../kernels/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { parameterCounts } from '../nn/parameters.js'
import { parametersText } from './generate-printing.js'
import { localModel } from './hub-models.js'
import { dtypeOption, integer, jsonOption, kvOption, MODEL_KINDS } from './options.js'
import { log, print, printJson } from './terminal.js'

interface InspectFlags {
  dtype?: EngineDtype
  kv?: CacheType
  context?: number
  json?: boolean
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description(
      'say what a model is, how many parameters it has and how much memory it takes, without loading it',
    )
    .argument('<model>', MODEL_KINDS)
    .addOption(dtypeOption())
    .addOption(kvOption())
    .option(
      '--context <tokens>',
      'tokens of keys and values to count (default: the whole context)',
      integer(1),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Of a mixture of experts, the active parameters are those that are read for a token.

Examples:
  flicker inspect model.gguf
  flicker inspect model-hf --dtype q8_0 --context 4096 --json`,
    )
    .action(async (model: string, { dtype = 'auto', kv = 'f32', context, json }: InspectFlags) => {
      const source = openModel(await localModel(model, false))
      try {
        const { config, format, notes } = source
        const types = new Map<string, number>()
        for (const name of source.names) {
          const { dtype: stored, shape } = source.info(name)
          const values = shape.reduce((a, b) => a * b, 1)
          types.set(stored, (types.get(stored) ?? 0) + storedBytes(stored, values))
        }
        const tokens = Math.min(context ?? config.maxPositionEmbeddings, config.maxPositionEmbeddings)
        const memory = {
          weights: new WeightLayout(config, source, dtype).bytes,
          cache: tokens * cacheBytesPerPosition({ config, type: kv }),
          available: systemMemory.available(),
        }
        const parameters = parameterCounts(config)
        if (json === true) {
          printJson({
            ...{ model, format, parameters, types: Object.fromEntries(types) },
            ...{ memory: { ...memory, dtype, kv, tokens }, config, notes },
          })
          return
        }
        for (const note of notes) log(`note: ${note}`)
        const rows = [
          ['format', format],
          ['parameters', parametersText(config)],
          ['block', blockText(config)],
          ['context', `${config.maxPositionEmbeddings} tokens`],
          ['vocabulary', `${config.vocabSize} tokens`],
          ['file', [...types].map(([type, bytes]) => `${type} ${gigabytes(bytes)}`).join(', ')],
          [
            'memory',
            `${gigabytes(memory.weights)} of weights (${dtype}) and ${gigabytes(memory.cache)} of keys and values ` +
              `(${tokens} tokens, ${kv}); ${gigabytes(memory.available)} are available`,
          ],
        ]
        for (const [name, text] of rows) print(`${name.padEnd(12)}${text}`)
      } finally {
        source.close()
      }
    })
}

function blockText(config: ModelConfig): string {
  const { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads } = config
  const { ffn, activation, experts } = config
  const mixture = experts === undefined ? '' : `${experts.count} experts of `
  return (
    `${numHiddenLayers} layers, hidden ${hiddenSize}, ${numAttentionHeads} heads of ${headDimOf(config)} ` +
    `(${numKeyValueHeads} of keys and values), ${mixture}${ffn} FFN of ${intermediateSize} with ${activation}`
  )
}
