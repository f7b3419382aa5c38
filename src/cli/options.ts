// The options that several commands share, each in one place so that its name, meaning and values are the same in every
// command, and the parsers of values.

import { InvalidArgumentError, Option } from 'commander'
import { SPARSE_PROMPTS } from '../engine/index.js'
import { activationTypes, defaultThreads } from '../kernels/index.js'
import { shown } from '../schema-issues.js'

/** What `--model` may be, for help texts. */
export const MODEL_KINDS =
  'Hugging Face directory, directory of a run, GGUF file, model.bin of llama2.c, or hf:owner/name on the Hub'

export const WEIGHT_TYPES = ['f32', 'bf16', 'f16', 'q8_0', 'q6_k', 'q5_k', 'q4_k', 'q4_0'] as const

export function modelOption(): Option {
  return new Option('-m, --model <path>', MODEL_KINDS).makeOptionMandatory()
}

export function backendOption(): Option {
  return choiceOption(
    '--backend <name>',
    'cpu, or webgpu: on a GPU, with the npm package webgpu',
    ['cpu', 'webgpu'],
    'cpu',
  )
}

/** Types of the weights in memory; `auto` keeps what the file has. */
export function dtypeOption(): Option {
  return choiceOption(
    '--dtype <type>',
    'weights in memory; auto: as in the file',
    ['auto', ...WEIGHT_TYPES],
    'auto',
  )
}

export function kvOption(): Option {
  return choiceOption('--kv <type>', 'keys and values in memory', ['f32', 'f16', 'q8'], 'f32')
}

/** Of weights of 8 and 4 bits. */
export function activationTypeOption(): Option {
  return choiceOption(
    '--activations <type>',
    'hidden states times quantized weights: integers of 16 bits, or f32',
    activationTypes,
    'f32',
  )
}

/** How long a text may be, and which of its factors a model with LongRoPE takes. */
export function contextOption(): Option {
  const about =
    "tokens that a text may have (default: the model's context); more than the original context of a LongRoPE model " +
    'takes its long factors from the first token on'
  return new Option('--context <n>', about).argParser(integer(1))
}

/** Of a model that `flicker sparsify` wrote. */
export function exactOption(): Option {
  return new Option('--exact', 'run a model of flicker sparsify without its cuts')
}

export function sparsePromptOption(): Option {
  const about = "which of a prompt's tokens the cuts of flicker sparsify apply to, beside generated tokens"
  return choiceOption('--sparse-prompt <which>', about, SPARSE_PROMPTS, 'none')
}

export function threadsOption(): Option {
  const about = `threads (default: FLICKER_THREADS, else all cores: ${defaultThreads()})`
  return new Option('--threads <n>', about).argParser(integer(1))
}

export function seedOption(about: string, initial?: number): Option {
  const option = new Option('--seed <n>', about).argParser(integer(0))
  return initial === undefined ? option : option.default(initial)
}

export function corpusOption(about: string): Option {
  return new Option('--corpus <path>', about)
}

/** For commands that train: a tokenizer may be made. */
export function trainedTokenizerOption(about = ''): Option {
  return new Option(
    '--tokenizer <name|path>',
    `bytes, chars, bpe:<size> (trained here), or an existing one${about}`,
  )
}

/** For commands that run a model. */
export function tokenizerOption(): Option {
  return new Option('--tokenizer <path>', "instead of the model's own (a model.bin of llama2.c has none)")
}

export function jsonOption(about = 'print one JSON object on stdout and nothing else there'): Option {
  return new Option('--json', about)
}

/** Loading an activation from a file runs the code in it: only with this flag. */
export function allowCodeOption(): Option {
  return new Option('--allow-code', 'let activations be files of yours (./mine.mjs); their code runs')
}

/** `--activations relu silu`, `--activations relu,silu` or `'relu; silu'`. */
export function activationsOption(about: string): Option {
  return new Option('--activation, --activations <names...>', about).argParser(
    (text: string, before: string[] | undefined) => [...(before ?? []), ...splitSpecs(text)],
  )
}

export function choiceOption(
  flags: string,
  about: string,
  choices: readonly string[],
  initial?: string,
): Option {
  const option = new Option(flags, about).choices(choices)
  return initial === undefined ? option : option.default(initial)
}

/**
 * A list of activations: `silu,stocha:p=0.3,positive=silu` is two. What follows a comma belongs to the name before it when
 * it is one of its settings (`key=value`) or of its parts (`mix:relu@0.3,gelu@0.7`).
 */
export function splitSpecs(text: string): string[] {
  const specs: string[] = []
  for (const [, separator, part] of text.matchAll(/(^|[,;\s]+)([^,;\s]+)/g)) {
    const last = specs.at(-1)
    const setting = /^[a-z][a-z0-9_-]*=/i.test(part) || (part.includes('@') && !part.includes(':'))
    if (last?.includes(':') && setting && separator.trim() === ',')
      specs[specs.length - 1] = `${last},${part}`
    else specs.push(part)
  }
  return specs
}

/** Values separated by commas, semicolons or spaces, as all lists of the command line are. */
export function splitList(text: string): string[] {
  return text.split(/[,;\s]+/).filter(part => part !== '')
}

export function numbers(text: string): number[] {
  const values = splitList(text).map(number)
  if (values.length === 0) throw new InvalidArgumentError('must be a number, or several with commas')
  return values
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new InvalidArgumentError(`must be a number, not ${shown(text)}`)
}

export function integer(minimum: number): (text: string) => number {
  return text => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (Number.isSafeInteger(value) && value >= minimum) return value
    throw new InvalidArgumentError(`must be an integer of at least ${minimum}, not ${shown(text)}`)
  }
}

/** A number from 0 to 1. */
export function fraction(text: string): number {
  const value = number(text)
  if (value >= 0 && value <= 1) return value
  throw new InvalidArgumentError(`must be a fraction from 0 to 1, not ${text}`)
}

export function boolean(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  throw new InvalidArgumentError(`must be true or false, not ${shown(text)}`)
}

/** Any text, the empty one included. */
export function anyText(text: string): string {
  return text
}
