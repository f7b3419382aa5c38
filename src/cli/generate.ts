// `flicker generate`: text from a model, as it is decoded.

import { Command, InvalidArgumentError } from 'commander'
import { MAX_TEXT_BYTES } from '../data/text-file.js'
import {
  type ChatMessage,
  type Completion,
  type DeviceModel,
  EngineModel,
  type GenerateManyOptions,
  type JsonSchema,
  type LanguageModel,
  type LoadOptions,
  load,
  type Prompt,
  weightTypesText,
} from '../engine/index.js'
import { FlickerError, OptionError } from '../errors.js'
import { type BestOf, bestCompletion, deterministicActivation } from '../eval/best-of.js'
import { encodePrompt, prefixToken } from '../eval/requests.js'
import { storageError } from '../formats/storage.js'
import { readRegularFile, UnreadFile, utf8 } from '../regular-file.js'
import { shown } from '../schema-issues.js'
import { templateOf } from './chat-template.js'
import { jsonReport, printStats, printTopLogprobs } from './generate-printing.js'
import {
  activationTypeOption,
  allowCodeOption,
  anyText,
  backendOption,
  choiceOption,
  contextOption,
  dtypeOption,
  exactOption,
  integer,
  jsonOption,
  kvOption,
  modelOption,
  number,
  seedOption,
  sparsePromptOption,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { addPromptOptions, type PromptFlags, readPrompt } from './prompt.js'
import { interruptible, log, print, printGenerated, printJson } from './terminal.js'

interface GenerateFlags
  extends Omit<GenerateManyOptions, 'logitBias' | 'signal' | 'ignoreEndOfText'>,
    Pick<
      LoadOptions,
      | 'backend'
      | 'dtype'
      | 'kv'
      | 'activations'
      | 'ffn'
      | 'narrowGate'
      | 'compact'
      | 'tokenizer'
      | 'exact'
      | 'sparsePrompt'
      | 'reuse'
      | 'predictor'
      | 'context'
    >,
    PromptFlags {
  readonly model: string
  readonly chat?: boolean
  readonly system?: string
  readonly chatTemplate?: string
  readonly logitBias?: [token: string | number, bias: number][]
  readonly ignoreEos?: boolean
  readonly jsonSchema?: string
  readonly stats?: boolean
  readonly bestOf?: BestOf
  readonly json?: boolean
}

export function generateCommand(): Command {
  const command = new Command('generate')
    .description('generate text; inactive neurons are skipped, with the same output')
    .addOption(modelOption())
  return addPromptOptions(command, 'prompt; with --chat the message to answer')
    .option('--max-tokens <n>', 'tokens to generate', integer(1), 128)
    .option('--stop <text>', 'end before this text (repeatable)', texts)
    .option('--ignore-eos', 'generate on after an end-of-text token')
    .option('--n <n>', 'completions to generate, decoded together', integer(1), 1)
    .addOption(
      choiceOption(
        '--best-of <rule>',
        'of --n completions print one: the most likely by the model without draws, or the one that most agree on',
        ['likelihood', 'vote'],
      ),
    )
    .addOption(seedOption('of sampling and of activations that draw', 0))
    .option(
      '--sequence <n>',
      'number of the first completion: seed and number decide the draws',
      integer(0),
      0,
    )
    .optionsGroup('Choosing tokens, in this order:')
    .option(
      '--logit-bias <token=bias>',
      'added to the logit of a token, id or text; -inf forbids it (repeatable)',
      bias,
    )
    .option(
      '--repetition-penalty <r>',
      'against tokens of prompt and completion: 1.1 is mild; 1 for none',
      number,
    )
    .option('--frequency-penalty <a>', 'against tokens of the completion, for each time they occur', number)
    .option('--presence-penalty <a>', 'against tokens of the completion, once', number)
    .option('--temperature <t>', '0 always takes the most likely token (default: 0)', number)
    .option('--top-k <n>', 'choose among the n most likely tokens', integer(0))
    .option('--top-p <p>', 'choose among the most likely tokens that together have this probability', number)
    .option('--min-p <p>', 'drop tokens with less than this fraction of the highest probability', number)
    .option('--json-schema <file>', 'choose only tokens of JSON that fits the JSON schema in this file')
    .optionsGroup('Conversations:')
    .option('--chat', "the prompt is a message, put into the model's chat template")
    .option('--system <text>', 'a system message before it', anyText)
    .option('--chat-template <name|file>', "one of the model's templates, or a file with one")
    .optionsGroup(
      'Engine (only dtype, kv, context, activations, activation and the next four change the text):',
    )
    .addOption(backendOption())
    .addOption(dtypeOption())
    .addOption(kvOption())
    .addOption(contextOption())
    .addOption(activationTypeOption())
    .addOption(
      choiceOption(
        '--ffn <mode>',
        'skip zeros where it is faster (auto), never (dense) or always (sparse)',
        ['auto', 'dense', 'sparse'],
        'auto',
      ),
    )
    .addOption(
      choiceOption(
        '--narrow-gate <mode>',
        'prove neurons inactive from one byte per weight: where it is faster (auto), always (on) or never (off)',
        ['auto', 'on', 'off'],
        'auto',
      ),
    )
    .option('--compact <file>', 'keep neurons that never fire on the text of this file out of memory')
    .option(
      '--activation <name>',
      "instead of the model's own: stocha:p=0.3 draws while decoding, for diverse texts",
    )
    .addOption(exactOption())
    .addOption(sparsePromptOption())
    .option(
      '--reuse <n>',
      'approximate: for n tokens compute only the neurons that the n before used, then n in full, and so on',
      integer(1),
    )
    .option(
      '--predictor <file>',
      'approximate: compute only the neurons that a predictor of flicker sparsity takes for active',
    )
    .addOption(allowCodeOption())
    .addOption(tokenizerOption())
    .addOption(threadsOption())
    .optionsGroup('Output:')
    .option(
      '--top-logprobs <n>',
      'the n most likely tokens at each position, on stderr or with --json',
      integer(0),
      0,
    )
    .option('--stats', 'print speed, sparsity per layer and bytes per token on stderr')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Values of --stop and --logit-bias in double quotes are read as JSON: --stop '"\\n\\n"' ends at an empty line,
--logit-bias '"42"=-inf' forbids the text 42 and not the token with that id.

Examples:
  flicker generate --model runs/quick/swift --prompt "The "
  flicker generate --model runs/quick/swift --prompt "The " --activation stocha:p=0.3 --n 4
  flicker generate --model runs/quick/swift --prompt "The " --temperature 0.8 --n 32 --best-of likelihood
  flicker generate --model runs/quick/silu --prompt "import " --temperature 0.8 --top-p 0.95 --stats
  flicker generate --model silu-teal --prompt "The " --sparse-prompt half --stats
  flicker generate --model runs/quick/relu --prompt "The " --reuse 8 --stats
  flicker generate --model ./llama --chat --system "Be brief." --prompt "Why is the sky blue?" --temperature 0.7
  flicker generate --model model.gguf --prompt "1, 2, 3, " --stop ", 9" --top-logprobs 3
  flicker generate --model ./llama --chat --prompt "Who wrote Emma?" --json-schema person.json
  cat question.txt | flicker generate --model model.gguf --chat --prompt -`,
    )
    .action(generate)
}

async function generate(flags: GenerateFlags): Promise<void> {
  const { model: path, json, dtype, kv, activations, ffn, narrowGate, activation, compact, tokenizer } = flags
  const { exact, sparsePrompt, reuse, predictor, context, backend = 'cpu' } = flags
  const given = await readPrompt(flags)
  if (given === undefined) {
    throw new OptionError(
      'PROMPT_MISSING',
      'give --prompt "…", --prompt - for standard input, or --prompt-file FILE',
    )
  }
  const prompt = promptOf(given, flags)
  requireSeveral(flags)
  if (backend === 'webgpu' && flags.bestOf !== undefined) {
    throw new OptionError('WEBGPU_OPTION', 'the WebGPU backend has no --best-of; leave it out, or --backend')
  }
  const model = await load(path, {
    ...{
      dtype,
      kv,
      activations,
      ffn,
      narrowGate,
      activation,
      compact,
      tokenizer,
      exact,
      sparsePrompt,
      backend,
    },
    ...{ reuse, predictor, context },
  })
  for (const note of model.notes) log(`flicker: ${note}`)
  const onCpu = isOnCpu(model) ? model : null
  if (flags.bestOf === 'likelihood' && onCpu !== null) deterministicActivation(onCpu)
  const signal = interruptible('stopping after this token')
  const { n = 1 } = flags
  const live = json !== true && n === 1
  const echo = typeof prompt === 'string' ? prompt : ''
  let started = false
  const all = await model.completeMany(prompt, {
    ...generateOptions(flags),
    signal,
    onToken: ({ text }) => {
      // Not before the first token: until then there may be an error, and nothing else is to be said.
      if (live) printGenerated(started ? text : `${echo}${text}`)
      started = true
    },
  })
  const completions =
    onCpu === null ? all : await chosen(onCpu, prompt, all, signal.aborted ? undefined : flags.bestOf)
  const { config, approximation } = model
  const compaction = onCpu?.engine.compaction ?? null
  const weights = onCpu === null ? 'on the GPU' : weightTypesText(onCpu.engine.weights)
  model.dispose()
  if (json === true) printJson(jsonReport(given, completions, approximation))
  else if (live) printGenerated(lineEnded(`${started ? '' : echo}${heldBack(completions[0])}`))
  else if (completions.length === 1) {
    log(`flicker: sequence ${completions[0].sequence}, the best of ${n} by ${flags.bestOf}`)
    printGenerated(lineEnded(`${echo}${completions[0].text}`))
  } else {
    for (const [i, { text, sequence }] of completions.entries()) {
      print(`${i === 0 ? '' : '\n'}--- ${i + 1} of ${n} (sequence ${sequence}) ---`)
      printGenerated(lineEnded(`${echo}${text}`))
    }
  }
  if (json !== true && (flags.topLogprobs ?? 0) > 0) printTopLogprobs(completions)
  if (flags.stats === true) printStats(completions, config, { compaction, weights, approximation, backend })
  if (signal.aborted) throw new FlickerError('INTERRUPTED', 'stopped before the end', { exitCode: 130 })
}

function requireSeveral({ bestOf, n = 1 }: GenerateFlags): void {
  if (bestOf === undefined || n > 1) return
  throw new OptionError('BEST_OF_ONE', '--best-of chooses among completions; add --n with at least 2')
}

/** The completion that `bestOf` chooses, or all. */
async function chosen(
  model: LanguageModel,
  prompt: Prompt,
  completions: readonly Completion[],
  bestOf: BestOf | undefined,
): Promise<readonly Completion[]> {
  if (bestOf === undefined) return completions
  return [completions[bestCompletion(model, await promptTokens(model, prompt), completions, bestOf)]]
}

/** The tokens that the model has read as the prompt. */
async function promptTokens(model: LanguageModel, prompt: Prompt): Promise<number[]> {
  const { tokenizer } = model
  if (typeof prompt === 'string') {
    const tokens = encodePrompt(tokenizer, prompt)
    return tokens.length === 0 ? [prefixToken(tokenizer)] : tokens
  }
  if (!('messages' in prompt)) return Array.from(prompt)
  const { messages, ...options } = prompt
  return [...tokenizer.encode(await model.renderChat(messages, options))]
}

function isOnCpu(model: LanguageModel<EngineModel | DeviceModel>): model is LanguageModel {
  return model.engine instanceof EngineModel
}

function lineEnded(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}

/** What an aborted completion still held back for stop strings and unfinished characters, so that no token had it. */
function heldBack({ text, tokens }: { text: string; tokens: readonly { text: string }[] }): string {
  return text.slice(tokens.reduce((length, token) => length + token.text.length, 0))
}

function generateOptions(flags: GenerateFlags): GenerateManyOptions {
  const { maxTokens, n, seed, sequence, temperature, topK, topP, minP, stop, topLogprobs } = flags
  const { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias, ignoreEos, jsonSchema } = flags
  return {
    ...{ maxTokens, n, seed, sequence, temperature, topK, topP, minP, stop, topLogprobs },
    ...{ repetitionPenalty, frequencyPenalty, presencePenalty },
    logitBias: logitBias === undefined ? undefined : new Map(logitBias),
    ignoreEos,
    ...(jsonSchema !== undefined && {
      grammar: { type: 'json_schema', schema: readJsonFile(jsonSchema) as JsonSchema },
    }),
  }
}

/** Throws OptionError JSON_SCHEMA_UNREADABLE; StorageError. */
function readJsonFile(file: string): unknown {
  try {
    return JSON.parse(utf8(readRegularFile(file, MAX_TEXT_BYTES)))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why =
      cause instanceof UnreadFile
        ? cause.message
        : cause instanceof SyntaxError
          ? 'is not JSON'
          : code === 'ENOENT'
            ? 'does not exist'
            : null
    if (why === null) throw storageError(cause, file, 0)
    throw new OptionError('JSON_SCHEMA_UNREADABLE', `--json-schema: ${file} ${why}`, { cause })
  }
}

function promptOf(prompt: string, { chat, system, chatTemplate }: GenerateFlags): Prompt {
  if (chat !== true) {
    const given = system !== undefined ? '--system' : chatTemplate !== undefined ? '--chat-template' : null
    if (given === null) return prompt
    throw new OptionError('CHAT_ONLY', `${given} belongs to a conversation; add --chat`)
  }
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }]
  messages.push({ role: 'user', content: prompt })
  return { messages, template: chatTemplate === undefined ? undefined : templateOf(chatTemplate) }
}

/** A text as it stands, or as JSON where it stands in double quotes. */
function text(given: string): string {
  if (!/^".*"$/s.test(given)) return given
  try {
    return JSON.parse(given)
  } catch {
    throw new InvalidArgumentError(
      `must be a JSON text where it stands in double quotes, not ${shown(given)}`,
    )
  }
}

function texts(given: string, before: string[] = []): string[] {
  return [...before, text(given)]
}

/** `50256=-100`, ` the=2.5`, `"42"=-inf`. */
function bias(given: string, before: [string | number, number][] = []): [string | number, number][] {
  const at = given.lastIndexOf('=')
  if (at < 1) {
    throw new InvalidArgumentError(`must be a token and its bias, as in 50256=-100, not ${shown(given)}`)
  }
  const [token, value] = [given.slice(0, at), given.slice(at + 1)]
  const key = /^\d+$/.test(token) ? Number(token) : text(token)
  return [...before, [key, value === '-inf' ? Number.NEGATIVE_INFINITY : number(value)]]
}
