// `flicker logits`: what the model gives for a list of tokens, to compare with other programs.

import { Command, Option } from 'commander'
import { EngineModel, type EngineOptions } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { openModel } from '../formats/index.js'
import { log, print } from './terminal.js'

interface LogitsFlags {
  model: string
  tokens?: string
  text?: string
  last?: boolean
  tokenizer?: string
  dtype: EngineOptions['dtype']
  json?: boolean
}

export function logitsCommand(): Command {
  return new Command('logits')
    .description('print token ids and the logits after them; ids are taken as they are, without a template')
    .requiredOption('--model <path>', 'checkpoint, directory of a run, GGUF file, or model.bin of llama2.c')
    .addOption(new Option('--tokens <ids>', 'token ids, as 1,2,3').conflicts('text'))
    .option(
      '--text <text>',
      "text instead of ids, behind the token that the model's texts begin with, if any",
    )
    .option('--last', 'only the logits after the last token')
    .option('--tokenizer <file>', "instead of the model's own; llama2.c's models have none in them")
    .option(
      '--dtype <type>',
      'how weights are held: f32, bf16, f16, q8_0, q4_0 or auto, as they are stored',
      'f32',
    )
    .option('--json', 'print one JSON object: {tokens, vocabSize, logits}, logits by position')
    .addHelpText(
      'after',
      `
Examples:
  flicker logits --model runs/quick/silu --tokens 1,2,3 --last --json
  flicker logits --model model.gguf --text "The " --json`,
    )
    .action((flags: LogitsFlags) => {
      const source = openModel(flags.model, { tokenizer: flags.tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      try {
        const tokens = flags.tokens === undefined ? encoded(flags.text) : parseTokens(flags.tokens)
        const { vocabSize } = source.config
        const model = new EngineModel(source.config, source, { dtype: flags.dtype })
        const first = flags.last === true ? tokens.length - 1 : 0
        const all = flags.last === true ? model.session().prefill(tokens) : model.logits(tokens)
        const logits = Array.from({ length: tokens.length - first }, (_, row) =>
          Array.from(all.subarray(row * vocabSize, (row + 1) * vocabSize)),
        )
        // On one line: a vocabulary of numbers below each other is no easier to read.
        if (flags.json === true) return print(JSON.stringify({ tokens, vocabSize, logits }))
        print(logits.map((row, i) => line(first + i, tokens[first + i], row)).join('\n'))
      } finally {
        source.close()
      }

      function encoded(text: string | undefined): number[] {
        if (text === undefined) throw new OptionError('TOKENS_MISSING', 'give --tokens 1,2,3 or --text "…"')
        const tokenizer = source.tokenizer()
        const ids = [...tokenizer.encode(text)]
        const start = tokenizer.startOfText ?? null
        return start === null ? ids : [start, ...ids]
      }
    })
}

/** `1,2,3` as numbers; whether they are in the vocabulary the model says. Throws OptionError TOKENS_INVALID. */
function parseTokens(text: string): number[] {
  return text.split(',').map(part => {
    if (/^\s*\d+\s*$/.test(part)) return Number(part)
    throw new OptionError(
      'TOKENS_INVALID',
      `--tokens: ${JSON.stringify(part)} is not a token id; give whole numbers as 1,2,3`,
    )
  })
}

/** A position, its token and the five likeliest tokens after it. */
function line(position: number, token: number, logits: readonly number[]): string {
  const likeliest = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 5)
  const shown = likeliest.map(id => `${id}: ${logits[id].toFixed(4)}`)
  return `${String(position).padStart(5)}  token ${String(token).padEnd(7)} → ${shown.join(', ')}`
}
