// `flicker bench WHAT`: reproducible measurements, each beside the limit it is to be held against.

import { Command, Option } from 'commander'
import { benchGemm } from '../bench/gemm.js'
import { benchMachine } from '../bench/machine-limits.js'
import { benchMemory } from '../bench/memory.js'
import { benchPrecision } from '../bench/precision.js'
import { benchSparseTrain } from '../bench/sparse-train.js'
import { benchTrain, profileTrain, type TrainShape } from '../bench/train.js'
import type { MachineInfo } from '../kernels/machine-info.js'
import { intervalText } from '../paired-measurement.js'
import { type Precision, precisions } from '../train/precision.js'
import { benchActivationsCommand } from './bench-activations.js'
import { benchAttentionCommand } from './bench-attention.js'
import { benchDecodeCommand } from './bench-decode.js'
import { benchLoadCommand } from './bench-load.js'
import { benchMlpCommand } from './bench-mlp.js'
import { allowCodeOption, fraction, integer, jsonOption, splitList } from './options.js'
import { print, printJson } from './terminal.js'

export function benchCommand(): Command {
  const bench = new Command('bench')
    .description('measure this machine: medians, beside the limit measured in the same run')
    .addHelpText(
      'after',
      `
Examples:
  flicker bench machine
  flicker bench gemm
  flicker bench activations
  flicker bench attention
  flicker bench mlp
  flicker bench decode --shape sparselm-0.5b --sparsity 0.9
  flicker bench train --json
  flicker bench train --activation stocha:p=0.7 --no-peers`,
    )
  bench
    .command('machine')
    .description("this machine's limits: multiply-adds and streaming reads")
    .addOption(jsonOption())
    .addHelpText('after', examples('flicker bench machine'))
    .action((flags: { json?: boolean }) => {
      const result = benchMachine()
      if (flags.json === true) return printJson(result)
      printMachine(result.machine)
      for (const { threads, gflops, gigabytesPerSecond } of result.limits) {
        print(
          `${threads} thread(s): ${gflops.toFixed(1)} GFLOP/s (f32), reads ${gigabytesPerSecond.toFixed(1)} GB/s`,
        )
      }
    })
  bench
    .command('gemm')
    .description("matrix product against the machine's multiply-add peak")
    .addOption(jsonOption())
    .addHelpText('after', examples('flicker bench gemm --json'))
    .action((flags: { json?: boolean }) => {
      const result = benchGemm()
      if (flags.json === true) return printJson(result)
      printMachine(result.machine)
      for (const { threads, gflops } of result.peakGflops)
        print(`peak, ${threads} thread(s): ${gflops.toFixed(1)} GFLOP/s`)
      print('\n     m      n      k  threads   GFLOP/s  of peak  speed-up')
      for (const { m, n, k, threads, gflops, fractionOfPeak, speedup } of result.rows) {
        const columns = [m, n, k].map(size => String(size).padStart(6)).join(' ')
        const ofPeak = Number.isNaN(fractionOfPeak) ? '   n/a' : `${(100 * fractionOfPeak).toFixed(1)} %`
        print(
          `${columns} ${String(threads).padStart(8)} ${gflops.toFixed(1).padStart(9)} ${ofPeak.padStart(8)} ${(speedup?.toFixed(2) ?? '').padStart(9)}`,
        )
      }
    })
  bench
    .command('train')
    .description('one optimizer step of two small models, beside PyTorch when python3 has it')
    .option('--steps <n>', 'timed steps', integer(1), 30)
    .option('--activation <name>', 'activation of the FFN', 'silu')
    .addOption(allowCodeOption())
    .option('--no-peers', 'leave PyTorch out')
    .option('--profile', 'time per kernel instead')
    .option(
      '--zeros <fractions>',
      'instead: a step whose FFNs have these fractions of exact zeros, with sparse products against dense ones',
      fractions,
    )
    .addOption(
      new Option('--precision <type>', 'instead: a step in this precision against one in f32').choices(
        precisions.filter(precision => precision !== 'f32'),
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'flicker bench train --activation stocha:p=0.7 --no-peers',
        'flicker bench train --precision bf16',
        'flicker bench train --profile',
        'flicker bench train --zeros 0.9,0.99 --steps 12',
      ),
    )
    .action(
      async (flags: {
        steps: number
        activation: string
        peers: boolean
        profile?: boolean
        zeros?: number[]
        precision?: Precision
        json?: boolean
      }) => {
        if (flags.zeros !== undefined) return printSparse(flags.zeros, flags)
        if (flags.precision !== undefined) return printPrecision(flags.precision, flags)
        if (flags.profile === true) return printProfile(flags)
        const result = await benchTrain(flags)
        if (flags.json === true) return printJson(result)
        printMachine(result.machine)
        print(`peak: ${result.peakGflops.toFixed(1)} GFLOP/s; PyTorch: ${result.torch ?? 'not installed'}\n`)
        print(
          'step                        ms (interval of the median)  GFLOP  limit ms  of limit  PyTorch ms  ratio',
        )
        for (const row of result.rows) {
          print(
            [
              shapeText(row.shape).padEnd(26),
              intervalText(row.milliseconds, 1).padStart(28),
              row.gigaflops.toFixed(1).padStart(6),
              row.limitMilliseconds.toFixed(1).padStart(9),
              `${((100 * row.limitMilliseconds) / row.milliseconds.median).toFixed(0)} %`.padStart(9),
              (row.torch?.milliseconds.toFixed(0) ?? 'n/a').padStart(11),
              row.torch === null ? '' : ` ${intervalText(row.torch.ratio, 2)}`,
            ].join(' '),
          )
        }
      },
    )
  bench
    .command('memory')
    .description('resident memory after 100 and after 1,000 training steps')
    .addOption(jsonOption())
    .addHelpText('after', examples('flicker bench memory'))
    .action((flags: { json?: boolean }) => {
      const result = benchMemory()
      if (flags.json === true) return printJson(result)
      printMachine(result.machine)
      const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
      print(
        `after 100 steps ${megabytes(result.bytesAfter100)}, after 1,000 ${megabytes(result.bytesAfter1000)}`,
      )
      print(`ratio ${result.ratio.toFixed(4)}`)
    })
  bench.addCommand(benchActivationsCommand())
  bench.addCommand(benchAttentionCommand())
  bench.addCommand(benchDecodeCommand())
  bench.addCommand(benchLoadCommand())
  bench.addCommand(benchMlpCommand())
  return bench
}

function examples(...commands: string[]): string {
  return `\nExamples:\n${commands.map(command => `  ${command}`).join('\n')}`
}

function printProfile(flags: { steps: number; activation: string; json?: boolean }): void {
  const result = profileTrain(flags)
  if (flags.json === true) {
    printJson(result)
    return
  }
  printMachine(result.machine)
  for (const { shape, millisecondsPerStep, kernels } of result.rows) {
    print(
      `\n${shapeText(shape)}: ${millisecondsPerStep.toFixed(1)} ms per step\n      ms  calls  GFLOP/s  kernel`,
    )
    for (const { kernel, millisecondsPerStep: ms, callsPerStep, gflops } of kernels) {
      const rate = gflops === null ? '' : gflops.toFixed(0)
      print(`${ms.toFixed(2).padStart(8)} ${String(callsPerStep).padStart(6)} ${rate.padStart(8)}  ${kernel}`)
    }
  }
}

function shapeText({ hiddenSize: d, numHiddenLayers: l, batchSize: b, context: t }: TrainShape): string {
  return `d=${d} L=${l} B=${b} T=${t}`
}

function printMachine({ cpu, cores, threads, isa, version }: MachineInfo): void {
  print(`flicker ${version} · ${cpu}, ${cores} cores · ${isa}, ${threads} threads`)
}

function fractions(text: string): number[] {
  return splitList(text).map(fraction)
}

function printSparse(zeros: readonly number[], { steps, json }: { steps: number; json?: boolean }): void {
  const result = benchSparseTrain(zeros, steps)
  if (json === true) {
    printJson(result)
    return
  }
  printMachine(result.machine)
  print(`${shapeText(result.shape)}\n`)
  print('  zeros                     dense ms                    sparse ms         dense over sparse')
  for (const { zeros: fraction, dense, sparse, ratio } of result.rows) {
    const percent = `${(100 * fraction).toFixed(0)} %`.padStart(7)
    const columns = [intervalText(dense, 1), intervalText(sparse, 1), intervalText(ratio, 2)]
    print([percent, ...columns.map(text => text.padStart(28))].join(' '))
  }
}

function printPrecision(
  precision: Precision,
  flags: { steps: number; activation: string; json?: boolean },
): void {
  const result = benchPrecision(precision, flags)
  if (flags.json === true) {
    printJson(result)
    return
  }
  printMachine(result.machine)
  print(`\n${'step'.padEnd(26)}${'f32 ms'.padStart(28)}${`${precision} ms`.padStart(28)}  f32 over it`)
  for (const { shape, f32, other, ratio } of result.rows) {
    const columns = [intervalText(f32, 1), intervalText(other, 1), intervalText(ratio, 2)]
    print(`${shapeText(shape).padEnd(26)}${columns.map(text => text.padStart(28)).join('')}`)
  }
}
