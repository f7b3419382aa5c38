// `flicker eval`: loss, perplexity, bits per byte and sparsity of a checkpoint on a text.

import { Command } from 'commander'
import { parseActivation } from '../activations/index.js'
import { prepareHeldOut } from '../data/prepare.js'
import { Evaluator } from '../eval/evaluate.js'
import { openModel } from '../formats/index.js'
import { kernels } from '../kernels/index.js'
import { Llama } from '../nn/llama.js'
import {
  allowCodeOption,
  corpusOption,
  integer,
  jsonOption,
  modelOption,
  seedOption,
  threadsOption,
} from './options.js'
import { log, print, printJson } from './terminal.js'

interface EvalFlags {
  model: string
  corpus: string
  whole?: boolean
  activation?: string
  maxTokens: number
  batchSize: number
  seed: number
  json?: boolean
}

export function evalCommand(): Command {
  return new Command('eval')
    .description('measure a checkpoint on held-out text: loss, perplexity, bits per byte, sparsity per layer')
    .addOption(modelOption())
    .addOption(
      corpusOption('default, or a file or directory; its validation side is measured').default('default'),
    )
    .option('--whole', 'measure all of the corpus, not its validation side')
    .option('--activation <name>', "activation instead of the model's own, e.g. stocha:p=0.3")
    .addOption(allowCodeOption())
    .option('--max-tokens <n>', 'stop after so many tokens', integer(1), 131_072)
    .option('--batch-size <n>', 'windows at a time', integer(1), 16)
    .addOption(seedOption('for activations that draw', 1))
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  flicker eval --model runs/quick/swift
  flicker eval --model runs/quick/silu --activation relu
  flicker eval --model runs/quick/stocha --corpus book.txt --whole --json`,
    )
    .action((flags: EvalFlags) => {
      const source = openModel(flags.model)
      const { config } = source
      for (const note of source.notes) log(`flicker: ${note}`)
      const tokenizer = source.tokenizer()
      const model = Llama.from(config, name => source.tensor(name))
      source.close()
      const heldOut = prepareHeldOut(tokenizer, flags.corpus, flags.whole === true, config.vocabSize)
      const evaluation = new Evaluator(kernels()).run(model, heldOut, {
        activation: parseActivation(flags.activation ?? config.activation),
        step: 0,
        context: config.maxPositionEmbeddings,
        batchSize: flags.batchSize,
        maxTokens: flags.maxTokens,
        seed: flags.seed,
      })
      const { step: _, ...result } = evaluation
      if (flags.json === true) return printJson(result)
      print(`activation     ${result.activation}`)
      print(`tokens         ${result.tokens.toLocaleString('en-US')}`)
      print(`loss           ${result.loss.toFixed(4)} nats per token`)
      print(`perplexity     ${result.perplexity.toFixed(3)}`)
      print(`bits per byte  ${result.bitsPerByte.toFixed(4)}`)
      result.sparsity.forEach((share, layer) => {
        print(`layer ${String(layer).padEnd(3)}      ${(100 * share).toFixed(2)} % zeros`)
      })
    })
}
