// `flicker bench mlp`: the lab's speed.

import { Command } from 'commander'
import { benchMlp } from '../bench/mlp.js'
import { integer, jsonOption } from './options.js'
import { print, printJson } from './terminal.js'

export function benchMlpCommand(): Command {
  return new Command('mlp')
    .description(
      "the lab: training steps per second on one thread, the blog's whole experiment, generated data",
    )
    .option('--epochs <n>', 'epochs of 31 steps per timing', integer(1), 60)
    .option('--no-experiment', "leave the blog's whole experiment out")
    .option('--no-peers', 'leave scikit-learn out')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  flicker bench mlp
  flicker bench mlp --epochs 20 --no-experiment --no-peers --json`,
    )
    .action(async (flags: { epochs: number; experiment: boolean; peers: boolean; json?: boolean }) => {
      const result = await benchMlp(flags)
      if (flags.json === true) return printJson(result)
      const { machine, targets, experiment, makeClassification: made } = result
      print(`flicker ${machine.version} · ${machine.cpu}, ${machine.cores} cores · ${machine.isa}`)
      print(
        `\n${result.network}, batch ${result.batchSize}, Adam, one thread (target with silu: ${count(targets.stepsPerSecond)} steps/s)\n`,
      )
      print('activation          steps/s   µs per step   multiply-adds at peak, µs')
      for (const { activation, stepsPerSecond, microseconds, limitMicroseconds } of result.steps) {
        print(
          [
            activation.padEnd(16),
            count(stepsPerSecond).padStart(10),
            microseconds.toFixed(1).padStart(13),
            limitMicroseconds.toFixed(1).padStart(27),
          ].join(' '),
        )
      }
      if (experiment !== null) {
        print(
          `\n5 activations × 10 runs × 100 epochs, ${experiment.workers} workers: ${experiment.seconds.toFixed(1)} s (target on 2 cores: ${targets.experimentSeconds} s)`,
        )
      }
      const sklearn = made.sklearnMilliseconds
      print(
        `make_classification of ${count(made.samples)} × ${made.features}: ${made.milliseconds.toFixed(0)} ms; scikit-learn: ${sklearn === null ? 'not installed' : `${sklearn.toFixed(0)} ms`}`,
      )
    })
}

function count(n: number): string {
  return Math.round(n).toLocaleString('en-US')
}
