// `flicker logits`: what the model gives for a list of tokens, to compare with other programs.

import { Command, Option } from 'commander'
import { requireVocabularyFits, type Tokenizer } from '../data/tokenizers/tokenizer.js'
import { EngineModel, type EngineOptions } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { openModel } from '../formats/index.js'
import { shown } from '../schema-issues.js'
import {
  activationTypeOption,
  contextOption,
  dtypeOption,
  exactOption,
  integer,
  jsonOption,
  kvOption,
  modelOption,
  splitList,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { addPromptOptions, type PromptFlags, readPrompt } from './prompt.js'
import { log, print, printJson } from './terminal.js'

interface LogitsFlags extends PromptFlags, Pick<EngineOptions, 'dtype' | 'kv' | 'activations' | 'context'> {
  readonly model: string
  readonly tokens?: string
  readonly last?: boolean
  readonly top: number
  readonly exact?: boolean
  readonly tokenizer?: string
  readonly json?: boolean
}

export function logitsCommand(): Command {
  const command = new Command('logits')
    .description('print token ids and the logits after them; ids are taken as they are, without a template')
    .addOption(modelOption())
    .addOption(new Option('--tokens <ids>', 'token ids, as 1,2,3').conflicts(['prompt', 'promptFile']))
  return addPromptOptions(
    command,
    'text instead of ids, after the token that starts a text, if the model has one',
  )
    .option('--last', 'only the logits after the last token')
    .option('--top <n>', 'the n most likely tokens at each position', integer(1), 5)
    .addOption(tokenizerOption())
    .addOption(dtypeOption())
    .addOption(kvOption())
    .addOption(contextOption())
    .addOption(activationTypeOption())
    .addOption(exactOption())
    .addOption(threadsOption())
    .addOption(jsonOption('print one JSON object: {tokens, texts, vocabSize, logits}, logits by position'))
    .addHelpText(
      'after',
      `
Examples:
  flicker logits --model runs/quick/silu --tokens 1,2,3 --last --json
  flicker logits --model model.gguf --prompt "The " --top 10`,
    )
    .action(async (flags: LogitsFlags) => {
      const prompt = await readPrompt(flags)
      const source = openModel(flags.model, { tokenizer: flags.tokenizer })
      for (const note of source.notes) log(`flicker: ${note}`)
      try {
        const tokenizer = tokenizerFor(flags, () => source.tokenizer())
        const tokens = flags.tokens === undefined ? encoded(prompt, tokenizer) : parseTokens(flags.tokens)
        const { vocabSize } = source.config
        if (tokenizer !== null) requireVocabularyFits(tokenizer, vocabSize)
        const model = new EngineModel(source.config, source, {
          ...{ dtype: flags.dtype, kv: flags.kv, activations: flags.activations, context: flags.context },
          cuts: flags.exact === true ? null : (source.cuts?.() ?? null),
        })
        if (model.approximate)
          log('flicker: approximate: every position is cut; --exact runs the weights without cuts')
        const first = flags.last === true ? tokens.length - 1 : 0
        const all = flags.last === true ? model.session().prefill(tokens) : model.logits(tokens)
        const logits = Array.from({ length: tokens.length - first }, (_, row) =>
          Array.from(all.subarray(row * vocabSize, (row + 1) * vocabSize)),
        )
        const texts = tokenizer === null ? null : tokens.map(id => textOf(id, tokenizer))
        // On one line: a number per line is no easier to read.
        if (flags.json === true) return printJson({ tokens, texts, vocabSize, logits }, 0)
        for (const [i, row] of logits.entries()) {
          print(line(first + i, tokens[first + i], row, flags.top, tokenizer))
        }
      } finally {
        source.close()
      }
    })
}

/** The model's tokenizer; null for a model that has none, whose ids have no text. */
function tokenizerFor({ tokens, tokenizer }: LogitsFlags, open: () => Tokenizer): Tokenizer | null {
  if (tokens === undefined || tokenizer !== undefined) return open()
  try {
    return open()
  } catch {
    return null
  }
}

function encoded(prompt: string | undefined, tokenizer: Tokenizer | null): number[] {
  if (prompt === undefined || tokenizer === null) {
    throw new OptionError('TOKENS_MISSING', 'give --tokens 1,2,3, --prompt "…", or --prompt-file FILE')
  }
  const ids = [...tokenizer.encode(prompt)]
  const start = tokenizer.startOfText ?? null
  return start === null ? ids : [start, ...ids]
}

/** `1,2,3` as ids; whether they are in the vocabulary the model says. Throws OptionError TOKENS_INVALID. */
function parseTokens(text: string): number[] {
  const ids = splitList(text).map(part => {
    if (/^\d+$/.test(part)) return Number(part)
    throw new OptionError(
      'TOKENS_INVALID',
      `--tokens: ${shown(part)} is not a token id; give integers as 1,2,3`,
    )
  })
  if (ids.length > 0) return ids
  throw new OptionError('TOKENS_INVALID', '--tokens: there is no token id; give integers as 1,2,3')
}

/** Null for a row of the embedding that no token has. */
function textOf(id: number, tokenizer: Tokenizer): string | null {
  return id < tokenizer.vocabSize ? tokenizer.decode([id]) : null
}

/** A position, its token and the most likely tokens after it, each with its text and its logit. */
function line(
  position: number,
  token: number,
  logits: readonly number[],
  top: number,
  tokenizer: Tokenizer | null,
): string {
  const named = (id: number) => {
    const text = tokenizer === null ? null : textOf(id, tokenizer)
    return text === null ? String(id) : `${id} ${JSON.stringify(text)}`
  }
  const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, top)
  const list = best.map(id => `${named(id)} ${logits[id].toFixed(4)}`)
  return `${String(position).padStart(5)}  token ${named(token).padEnd(14)} → ${list.join(', ')}`
}
