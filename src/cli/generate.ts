// `flicker generate`: text from a checkpoint, as it is decoded.

import { Command } from 'commander'
import { load } from '../engine/index.js'
import { integer, number } from './options.js'
import { interruptible, log, print, printJson } from './terminal.js'

interface GenerateFlags {
  model: string
  prompt: string
  maxTokens: number
  temperature: number
  topK: number
  topP: number
  minP: number
  seed: number
  activation?: string
  dtype: 'f32' | 'bf16'
  dense?: boolean
  stats?: boolean
  json?: boolean
}

export function generateCommand(): Command {
  return new Command('generate')
    .description('generate text; inactive neurons are skipped, with the same output')
    .requiredOption('--model <directory>', 'checkpoint, or the directory of a run')
    .requiredOption('--prompt <text>', 'text to go on from')
    .option('--max-tokens <n>', 'tokens to generate', integer(1), 128)
    .option('--temperature <t>', '0 always takes the likeliest token', number, 0)
    .option('--top-k <n>', 'choose among the n likeliest; 0 for all', integer(0), 0)
    .option('--top-p <p>', 'choose among the likeliest that hold this share of the probability', number, 1)
    .option('--min-p <p>', 'drop tokens less likely than this share of the likeliest', number, 0)
    .option('--seed <n>', 'of sampling and of drawn activations', integer(0), 0)
    .option(
      '--activation <name>',
      "instead of the model's own: stocha:p=0.3 draws while decoding, for diverse texts",
    )
    .option('--dtype <type>', 'weights as f32 or bf16', 'f32')
    .option('--dense', 'compute every neuron')
    .option('--stats', 'print speed and active neurons on stderr')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  flicker generate --model runs/quick/swift --prompt "The "
  flicker generate --model runs/quick/swift --prompt "The " --activation stocha:p=0.3 --seed 2
  flicker generate --model runs/quick/silu --prompt "import " --temperature 0.8 --top-p 0.95 --stats`,
    )
    .action(async (flags: GenerateFlags) => {
      const { model: directory, prompt, dtype, json, stats, dense, ...options } = flags
      const model = await load(directory, { dtype, ffn: dense === true ? 'dense' : 'auto' })
      const signal = interruptible()
      const tokens: { id: number; text: string; logprob: number; activeNeurons: number[] }[] = []
      let firstToken = 0
      const started = performance.now()
      if (json !== true) process.stdout.write(prompt)
      for await (const { id, text, logprob, activeNeurons } of model.generate(prompt, {
        ...options,
        signal,
      })) {
        if (tokens.length === 0) firstToken = performance.now()
        tokens.push({ id, text, logprob, activeNeurons: [...activeNeurons] })
        if (json !== true) process.stdout.write(text)
      }
      const seconds = (performance.now() - firstToken) / 1000
      const report = {
        tokens: tokens.length,
        promptSeconds: (firstToken - started) / 1000,
        tokensPerSecond: tokens.length > 1 ? (tokens.length - 1) / seconds : null,
        activeShare: activeShare(tokens, model.config.intermediateSize),
      }
      model.dispose()
      if (json === true) {
        return printJson({
          prompt,
          text: tokens.map(({ text }) => text).join(''),
          ...report,
          generated: tokens,
        })
      }
      print('')
      if (stats === true) {
        const rate = report.tokensPerSecond === null ? 'n/a' : report.tokensPerSecond.toFixed(1)
        log(
          `${report.tokens} tokens, ${rate} tokens/s, ${(100 * report.activeShare).toFixed(1)} % of the neurons active`,
        )
      }
      if (signal.aborted) process.exitCode = 130
    })
}

function activeShare(tokens: { activeNeurons: number[] }[], width: number): number {
  let [active, all] = [0, 0]
  for (const { activeNeurons } of tokens) {
    for (const n of activeNeurons) active += n
    all += activeNeurons.length * width
  }
  return all === 0 ? 0 : active / all
}
