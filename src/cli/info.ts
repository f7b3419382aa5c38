// `flicker info`: what runs here.

import { Command } from 'commander'
import { machineInfo } from '../kernels/machine-info.js'
import { print, printJson } from './terminal.js'

export function infoCommand(): Command {
  return new Command('info')
    .description('print version, backend, instruction set, cores and threads')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Environment:
  FLICKER_BACKEND=portable|native   force a backend
  FLICKER_ISA=avx512|avx2|x86-64    force an instruction set
  FLICKER_THREADS=n                 threads (default: all cores)

Examples:
  flicker info
  FLICKER_ISA=avx2 flicker info --json`,
    )
    .action((options: { json?: boolean }) => {
      const info = machineInfo()
      if (options.json === true) return printJson(info)
      const rows = Object.entries(info).map(([key, value]) => {
        const text = Array.isArray(value) ? value.join(', ') || 'none built' : String(value)
        return `${key.padEnd(16)}${text}`
      })
      print(rows.join('\n'))
    })
}
