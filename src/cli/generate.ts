// `flicker generate`: text from a model, as it is decoded.

import fs from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import {
  type ChatMessage,
  type GenerateManyOptions,
  type LoadOptions,
  load,
  type Prompt,
} from '../engine/index.js'
import { FlickerError, OptionError } from '../errors.js'
import { jsonReport, printStats, printTopLogprobs } from './generate-printing.js'
import { allowCodeOption, integer, kebab, number } from './options.js'
import { interruptible, log, print, printJson } from './terminal.js'

interface GenerateFlags
  extends Omit<GenerateManyOptions, 'logitBias' | 'signal' | 'ignoreEndOfText'>,
    Pick<LoadOptions, 'dtype' | 'kv' | 'ffn' | 'narrowGate' | 'compact' | 'tokenizer'> {
  readonly model: string
  readonly prompt: string
  readonly chat?: boolean
  readonly system?: string
  readonly chatTemplate?: string
  readonly logitBias?: [token: string | number, bias: number][]
  readonly ignoreEnd?: boolean
  readonly stats?: boolean
  readonly json?: boolean
}

export function generateCommand(): Command {
  return new Command('generate')
    .description('generate text; inactive neurons are skipped, with the same output')
    .requiredOption('--model <path>', 'checkpoint, directory of a run, GGUF file or model.bin of llama2.c')
    .requiredOption('--prompt <text>', 'text to go on from; with --chat the message to answer')
    .option('--max-tokens <n>', 'tokens to generate', integer(1), 128)
    .option('--stop <text>', 'end before this text (repeatable)', texts)
    .option('--ignore-end', 'go on after a token that ends a text')
    .option('--n <n>', 'texts to generate, decoded together', integer(1), 1)
    .option('--seed <n>', 'of sampling and of drawn activations', integer(0), 0)
    .option('--sequence <n>', 'the first of the texts with this seed', integer(0), 0)
    .optionsGroup('Choosing tokens, in this order:')
    .option(
      '--logit-bias <token=bias>',
      'added to the logit of a token, id or text; -inf forbids it (repeatable)',
      bias,
    )
    .option('--repetition-penalty <r>', 'against tokens of prompt and text: 1.1 is mild; 1 for none', number)
    .option('--frequency-penalty <a>', 'against tokens of the text, for each time they occur', number)
    .option('--presence-penalty <a>', 'against tokens of the text, once', number)
    .option('--temperature <t>', '0 always takes the likeliest token (default: 0)', number)
    .option('--top-k <n>', 'choose among the n likeliest', integer(0))
    .option('--top-p <p>', 'choose among the likeliest that hold this share of the probability', number)
    .option('--min-p <p>', 'drop tokens less likely than this share of the likeliest', number)
    .optionsGroup('Conversations:')
    .option('--chat', "the prompt is a message, put into the model's chat template")
    .option('--system <text>', 'a message of the system before it')
    .option('--chat-template <name|file>', "one of the model's templates, or a file with one")
    .optionsGroup('Engine (the text is the same but for dtype, kv and activation):')
    .addOption(
      choice('--dtype <type>', 'weights in memory', ['auto', 'f32', 'bf16', 'f16', 'q8_0', 'q4_0'], 'auto'),
    )
    .addOption(choice('--kv <type>', 'keys and values in memory', ['f32', 'f16', 'q8'], 'f32'))
    .addOption(
      choice('--ffn <mode>', 'skip zeros where faster, never, always', ['auto', 'dense', 'sparse'], 'auto'),
    )
    .addOption(choice('--narrow-gate <mode>', 'prove neurons inactive first', ['auto', 'on', 'off'], 'auto'))
    .option('--compact <file>', 'keep neurons that never fire on this text out of memory')
    .option(
      '--activation <name>',
      "instead of the model's own: stocha:p=0.3 draws while decoding, for diverse texts",
    )
    .addOption(allowCodeOption())
    .option('--tokenizer <path>', "instead of the model's own")
    .optionsGroup('Output:')
    .option(
      '--top-logprobs <n>',
      'the n likeliest tokens at each position, on stderr or with --json',
      integer(0),
      0,
    )
    .option('--stats', 'print speed, sparsity per layer and bytes per token on stderr')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
A text in double quotes is read as JSON: --stop '"\\n\\n"' ends at an empty line, --logit-bias '"42"=-inf' forbids the
text 42 and not the token with that id.

Examples:
  flicker generate --model runs/quick/swift --prompt "The "
  flicker generate --model runs/quick/swift --prompt "The " --activation stocha:p=0.3 --n 4
  flicker generate --model runs/quick/silu --prompt "import " --temperature 0.8 --top-p 0.95 --stats
  flicker generate --model ./llama --chat --system "Be brief." --prompt "Why is the sky blue?" --temperature 0.7
  flicker generate --model model.gguf --prompt "1, 2, 3, " --stop ", 9" --top-logprobs 3`,
    )
    .action(async (flags: GenerateFlags) => {
      try {
        await generate(flags)
      } catch (error) {
        throw inFlags(error)
      }
    })
}

async function generate(flags: GenerateFlags): Promise<void> {
  const { model: path, json, dtype, kv, ffn, narrowGate, activation, compact, tokenizer } = flags
  const prompt = promptOf(flags)
  const model = await load(path, { dtype, kv, ffn, narrowGate, activation, compact, tokenizer })
  for (const note of model.notes) log(`flicker: ${note}`)
  const signal = interruptible('stopping after this token')
  const { n = 1 } = flags
  const live = json !== true && n === 1
  const echo = typeof prompt === 'string' ? prompt : ''
  let started = false
  const completions = await model.completeMany(prompt, {
    ...generateOptions(flags),
    signal,
    onToken: ({ text }) => {
      // Not before the first token: until then there may be an error, and nothing else is to be said.
      if (live) process.stdout.write(started ? text : `${echo}${text}`)
      started = true
    },
  })
  const { config } = model
  const { compaction } = model.engine
  model.dispose()
  if (json === true) printJson(jsonReport(flags.prompt, completions))
  else if (live) print(`${started ? '' : echo}${heldBack(completions[0])}`)
  else {
    for (const [i, { text, sequence }] of completions.entries()) {
      print(`${i === 0 ? '' : '\n'}--- ${i + 1} of ${n} (sequence ${sequence}) ---`)
      print(`${echo}${text}`)
    }
  }
  if (json !== true && (flags.topLogprobs ?? 0) > 0) printTopLogprobs(completions)
  if (flags.stats === true) printStats(completions, config, compaction)
  if (signal.aborted) throw new FlickerError('INTERRUPTED', 'stopped before the end', { exitCode: 130 })
}

/** What a text that was broken off had held back, which no token could give out any more. */
function heldBack({ text, tokens }: { text: string; tokens: readonly { text: string }[] }): string {
  return text.slice(tokens.reduce((length, token) => length + token.text.length, 0))
}

function generateOptions(flags: GenerateFlags): GenerateManyOptions {
  const { maxTokens, n, seed, sequence, temperature, topK, topP, minP, stop, topLogprobs } = flags
  const { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias, ignoreEnd } = flags
  return {
    ...{ maxTokens, n, seed, sequence, temperature, topK, topP, minP, stop, topLogprobs },
    ...{ repetitionPenalty, frequencyPenalty, presencePenalty },
    logitBias: logitBias === undefined ? undefined : new Map(logitBias),
    ignoreEndOfText: ignoreEnd,
  }
}

function promptOf({ prompt, chat, system, chatTemplate }: GenerateFlags): Prompt {
  if (chat !== true) {
    const given = system !== undefined ? '--system' : chatTemplate !== undefined ? '--chat-template' : null
    if (given === null) return prompt
    throw new OptionError('CHAT_ONLY', `${given} belongs to a conversation; add --chat`)
  }
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }]
  messages.push({ role: 'user', content: prompt })
  const file = chatTemplate !== undefined && fs.statSync(chatTemplate, { throwIfNoEntry: false })?.isFile()
  return { messages, template: file ? fs.readFileSync(chatTemplate, 'utf8') : chatTemplate }
}

function choice(flags: string, about: string, choices: string[], initial: string): Option {
  return new Option(flags, about).choices(choices).default(initial)
}

/** A text as it stands, or as JSON where it stands in double quotes. */
function text(given: string): string {
  if (!/^".*"$/s.test(given)) return given
  try {
    return JSON.parse(given)
  } catch {
    throw new InvalidArgumentError(`${given} is not a JSON text.`)
  }
}

function texts(given: string, before: string[] = []): string[] {
  return [...before, text(given)]
}

/** `50256=-100`, ` the=2.5`, `"42"=-inf`. */
function bias(given: string, before: [string | number, number][] = []): [string | number, number][] {
  const at = given.lastIndexOf('=')
  if (at < 1) throw new InvalidArgumentError(`"${given}" is not a token and its bias, as in 50256=-100.`)
  const [token, value] = [given.slice(0, at), given.slice(at + 1)]
  const key = /^\d+$/.test(token) ? Number(token) : text(token)
  return [...before, [key, value === '-inf' ? Number.NEGATIVE_INFINITY : number(value)]]
}

/** Options of the library in a message become the flags that set them; ordinary words stay. */
function inFlags(error: unknown): unknown {
  if (!(error instanceof OptionError)) return error
  const named =
    /\b(max|top|min|repetition|presence|frequency|logit|narrow)(Tokens|Logprobs|K|P|Penalty|Bias|Gate)\b/g
  const message = error.message.replace(named, option => `--${kebab(option)}`)
  return new OptionError(error.code, message, { exitCode: error.exitCode, cause: error })
}
