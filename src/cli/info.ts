// `flicker info`: what runs here.

import { Command } from 'commander'
import { machineInfo } from '../kernels/machine-info.js'
import { jsonOption } from './options.js'
import { print, printJson } from './terminal.js'

export function infoCommand(): Command {
  return new Command('info')
    .description('print version, backend, instruction set, cores and threads')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Environment:
  FLICKER_BACKEND=portable|native   backend (default: native where it is built)
  FLICKER_ISA=avx512|avx2|x86-64    instruction set of the native kernels (default: the best)
  FLICKER_THREADS=n                 threads (default: all cores)
  NO_COLOR=1                        tables without colors

Examples:
  flicker info
  FLICKER_ISA=avx2 flicker info --json`,
    )
    .action((flags: { json?: boolean }) => {
      const info = machineInfo()
      if (flags.json === true) return printJson(info)
      const rows = Object.entries(info).map(([key, value]) => {
        const text = Array.isArray(value) ? value.join(', ') || 'none built' : String(value)
        return `${key.padEnd(16)}${text}`
      })
      print(rows.join('\n'))
    })
}
