// `flicker bench attention`: arguments and printing.

import { Command } from 'commander'
import { type AttentionBenchOptions, benchCachedAttention } from '../bench/cached-attention.js'
import { OptionError } from '../errors.js'
import { type CacheType, defaultThreads } from '../kernels/index.js'
import { intervalText } from '../paired-measurement.js'
import { integer, jsonOption, kvOption, threadsOption } from './options.js'
import { print, printJson } from './terminal.js'

interface BenchAttentionFlags extends Omit<AttentionBenchOptions, 'kv' | 'threads'> {
  readonly kv?: CacheType
  readonly threads?: number
  readonly json?: boolean
}

export function benchAttentionCommand(): Command {
  return new Command('attention')
    .description('attention of one new token over a long cache, beside a plain read of memory')
    .option('--positions <n>', 'tokens in the cache', integer(1), 8192)
    .option('--heads <n>', 'heads', integer(1), 32)
    .option('--kv-heads <n>', 'heads of keys and values', integer(1), 32)
    .option('--head-dim <n>', 'elements of a head', integer(2), 64)
    .addOption(kvOption().default(undefined, 'all types'))
    .option('--runs <n>', 'timed rounds', integer(1), 12)
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Keys and values are read once, so reading them is the limit. Caches of several layers take 512 MB together, so that they come
from memory. The default is a layer of SparseLM.

Examples:
  flicker bench attention
  flicker bench attention --kv f16 --heads 32 --kv-heads 8 --head-dim 128`,
    )
    .action((flags: BenchAttentionFlags) => {
      const { heads, kvHeads, headDim } = flags
      if (heads % kvHeads !== 0 || headDim % 2 !== 0) {
        throw new OptionError(
          'SHAPE_HEADS',
          `${heads} heads of ${headDim} elements with ${kvHeads} key/value heads: give an even --head-dim, and a --kv-heads ` +
            'that divides --heads',
        )
      }
      const kv = flags.kv === undefined ? (['f32', 'f16', 'q8'] as const) : [flags.kv]
      const result = benchCachedAttention({ ...flags, kv, threads: flags.threads ?? defaultThreads() })
      if (flags.json === true) {
        printJson(result)
        return
      }
      const { machine, positions, gigabytesPerSecond, rows } = result
      print(
        `flicker ${machine.version} · ${machine.cpu}, ${machine.cores} cores · ${machine.isa}, ${machine.threads} threads`,
      )
      print(`${positions} positions · reads ${gigabytesPerSecond.toFixed(1)} GB/s\n`)
      print('keys and values  MB/layer  µs/layer    GB/s         of the memory limit')
      for (const row of rows) {
        print(
          [
            row.kv.padEnd(15),
            (row.bytesPerLayer / 1e6).toFixed(1).padStart(9),
            row.microsecondsPerLayer.toFixed(0).padStart(9),
            row.gigabytesPerSecond.toFixed(1).padStart(7),
            intervalText(row.fractionOfLimit, 3).padStart(27),
          ].join(' '),
        )
      }
    })
}
