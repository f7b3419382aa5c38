// `flicker bench activations`: speed of the catalog's kernels.

import { Command } from 'commander'
import { benchActivations } from '../bench/activations.js'
import { activationsOption, allowCodeOption, integer, jsonOption } from './options.js'
import { print, printJson } from './terminal.js'

interface BenchActivationsFlags {
  activations?: string[]
  millions: number
  steps: number
  json?: boolean
}

export function benchActivationsCommand(): Command {
  return new Command('activations')
    .description('GB/s of every activation, forward and backward, beside a copy of memory in the same run')
    .addOption(activationsOption('activations to measure (default: the whole catalog)'))
    .addOption(allowCodeOption())
    .option('--millions <n>', 'values per array, in millions', integer(1), 16)
    .option('--steps <n>', 'also time so many training steps against the same with silu', integer(0), 0)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  flicker bench activations
  flicker bench activations --activations 'relu silu stocha:p=0.7' --steps 30 --json`,
    )
    .action((flags: BenchActivationsFlags) => {
      const { activations, millions, steps } = flags
      const result = benchActivations({ activations, millions, steps })
      if (flags.json === true) return printJson(result)
      const { machine, copyGigabytesPerSecond, megabytes, rows } = result
      print(`flicker ${machine.version} · ${machine.cpu} · ${machine.isa}, 1 thread`)
      print(
        `copy of ${megabytes.toFixed(0)} MB: ${copyGigabytesPerSecond.toFixed(1)} GB/s read and written\n`,
      )
      const width = Math.max(10, ...rows.map(row => row.activation.length))
      print(
        `${'activation'.padEnd(width)}  kernel   forward  of copy  backward${flags.steps > 0 ? '  step/silu' : ''}`,
      )
      for (const row of rows) {
        const cells = [
          row.activation.padEnd(width),
          (row.fused ? 'fused' : 'generic').padEnd(7),
          `${row.forwardGigabytesPerSecond.toFixed(1).padStart(7)}`,
          `${(100 * row.fractionOfCopy).toFixed(0).padStart(5)} %`,
          `${row.backwardGigabytesPerSecond.toFixed(1).padStart(8)}`,
          ...(row.stepAgainstSilu === null ? [] : [row.stepAgainstSilu.toFixed(3).padStart(9)]),
        ]
        print(cells.join('  '))
      }
    })
}
