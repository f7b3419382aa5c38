// `flicker bench load`: loading a model beside reading its file once.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Command } from 'commander'
import { benchLoad, LOAD_LIMIT, type LoadBench, writeRandomModel } from '../bench/load.js'
import { decodeShape } from '../bench/random-model.js'
import { gigabytes } from '../engine/index.js'
import type { EngineDtype } from '../engine/model/weight-layout.js'
import { OptionError } from '../errors.js'
import type { WrittenDtype } from '../formats/gguf/mixes.js'
import { machineInfo } from '../kernels/machine-info.js'
import { intervalText } from '../paired-measurement.js'
import { dtypeOption, integer, jsonOption, WEIGHT_TYPES } from './options.js'
import { print, printJson } from './terminal.js'

interface BenchLoadFlags {
  shape: string
  types: string
  dtype?: EngineDtype
  runs: number
  json?: boolean
}

export function benchLoadCommand(): Command {
  return new Command('load')
    .description(
      'time of loading a model over that of reading its file once, and memory, both from the page cache',
    )
    .argument('[file]', 'a GGUF file (default: random models of the shape, written to a temporary directory)')
    .option('--shape <name>', 'shape of the random models, as for bench decode', 'sparselm-1.5b')
    .option('--types <list>', 'types of their files', 'f16,q8_0,q4_k_m')
    .addOption(dtypeOption())
    .option('--runs <n>', 'timed runs of each', integer(1), 5)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Reading is one call into memory that is new, as the model's is: on many machines most of the time is the system's, which
makes and clears that memory. By pieces it goes through one buffer of 4 MB, and nothing is kept.

Examples:
  flicker bench load model.gguf
  flicker bench load --shape sparselm-0.5b --types q4_k_m`,
    )
    .action((file: string | undefined, { shape, types, json, ...options }: BenchLoadFlags) => {
      if (file !== undefined) {
        const result = benchLoad(file, options)
        if (json === true) printJson(result)
        else printResults([{ type: 'file', result }])
        return
      }
      const results = types.split(',').map(type => {
        if (!isWritten(type)) {
          throw new OptionError(
            'DTYPE_UNKNOWN',
            `--types: ${type} is not one of ${[...WEIGHT_TYPES, 'q4_k_m'].join(', ')}`,
          )
        }
        const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-load-'))
        try {
          const model = path.join(directory, `${type}.gguf`)
          writeRandomModel(model, decodeShape(shape), type)
          return { type, result: inOwnProcess(model, options) }
        } finally {
          fs.rmSync(directory, { recursive: true })
        }
      })
      if (json === true) printJson(results)
      else printResults(results)
    })
}

function isWritten(type: string): type is WrittenDtype {
  return type === 'q4_k_m' || (WEIGHT_TYPES as readonly string[]).includes(type)
}

/** So that no other model's memory is counted. */
function inOwnProcess(file: string, { dtype, runs }: Pick<BenchLoadFlags, 'dtype' | 'runs'>): LoadBench {
  const flags = ['--runs', `${runs}`, ...(dtype === undefined ? [] : ['--dtype', dtype]), '--json']
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [process.argv[1], 'bench', 'load', file, ...flags],
    {
      encoding: 'utf8',
    },
  )
  if (status === 0) return JSON.parse(stdout)
  throw new OptionError('BENCH_FAILED', `loading ${file} failed: ${stderr.trim()}`, { exitCode: 1 })
}

function printResults(results: readonly { readonly type: string; readonly result: LoadBench }[]): void {
  const { version, cpu, cores, isa } = machineInfo()
  print(`flicker ${version} · ${cpu}, ${cores} cores · ${isa}`)
  print(
    `\nfile        size   read s   load s  load / read (limit ${LOAD_LIMIT})  load / read by pieces   in memory  largest tensor      peak`,
  )
  for (const { type, result } of results) {
    const { fileBytes, readSeconds, loadSeconds, ratio, overPieces } = result
    const { modelBytes, largestTensor, peakBytes } = result
    print(
      [
        type.padEnd(8),
        gigabytes(fileBytes).padStart(8),
        readSeconds.toFixed(3).padStart(8),
        loadSeconds.toFixed(3).padStart(8),
        intervalText(ratio, 2).padStart(24),
        intervalText(overPieces, 2).padStart(22),
        gigabytes(modelBytes).padStart(11),
        gigabytes(largestTensor).padStart(15),
        gigabytes(peakBytes).padStart(9),
      ].join(' '),
    )
  }
}
