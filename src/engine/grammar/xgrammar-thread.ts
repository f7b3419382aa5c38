// What a thread that runs XGrammar does: it holds a matcher for each text that is being generated, and answers every token
// with the mask of those that may follow. In a thread of its own, since a grammar may take seconds to compile, and since one
// that breaks the WebAssembly module must not break more than that.

import { parentPort, workerData } from 'node:worker_threads'
import type { CompiledGrammar, GrammarMatcher } from '@mlc-ai/web-xgrammar'
import type { Grammar } from './grammar.js'
import { loadXGrammar } from './xgrammar.js'

export interface Vocabulary {
  /** Tokens by id, in the byte-level alphabet of GPT-2. */
  readonly tokens: readonly string[]
  /** Ids of the tokens that end a text. */
  readonly stopIds: readonly number[]
}

export type Question =
  /** Whether the grammar is usable. */
  | { readonly check: Grammar; readonly id: number }
  /** Begins a text that has `tokens` already; `text` says which later. */
  | { readonly open: Grammar; readonly text: number; readonly tokens: readonly number[]; readonly id: number }
  | { readonly accept: number; readonly text: number; readonly id: number }
  | { readonly close: number }
export type Asked = Extract<Question, { id: number }>

export type Answer =
  | { readonly id: number; readonly usable: true }
  | { readonly id: number; readonly mask: Int32Array }
  /** XGrammar's own words for a grammar that it does not take. */
  | { readonly id: number; readonly refused: string }
  | { readonly id: number; readonly failed: string }
  /** The text was opened in an earlier thread. */
  | { readonly id: number; readonly unknown: true }

/** So many compiled grammars are kept: clients ask with the same schema again and again. */
const MOST_COMPILED = 32
/** Between two elements of JSON: a small model would otherwise go on with line ends to its limit. */
const MOST_WHITESPACE = 8

/** What XGrammar has said about the grammar at hand: what it cannot do, it says there. */
let said: string[] = []
console.log = console.warn = console.error = (...words: unknown[]) => void said.push(words.join(' '))

const xgrammar = loadXGrammar()
const { tokens, stopIds } = workerData as Vocabulary
const vocabulary = await xgrammar.TokenizerInfo.createTokenizerInfo(
  [...tokens],
  'byte_level',
  false,
  tokens.length,
  [...stopIds],
)
const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(vocabulary, false)
const compiled = new Map<string, CompiledGrammar>()
const matchers = new Map<number, GrammarMatcher>()

async function compile(grammar: Grammar): Promise<CompiledGrammar> {
  switch (grammar.type) {
    case 'json_object':
      return compileSchema({ type: 'object', additionalProperties: true })
    case 'json_schema':
      return compileSchema(grammar.schema)
    case 'regex':
      return compiler.compileStructuralTag({ type: 'regex', pattern: grammar.pattern })
    case 'ebnf':
      return compiler.compileGrammar(grammar.grammar)
    case 'structural_tag':
      return compiler.compileStructuralTag({ type: 'structural_tag', format: grammar.format })
  }
}

function compileSchema(schema: unknown): Promise<CompiledGrammar> {
  return compiler.compileJSONSchema(JSON.stringify(schema), true, 2, undefined, true, MOST_WHITESPACE)
}

async function compiledGrammar(grammar: Grammar): Promise<CompiledGrammar> {
  const key = JSON.stringify(grammar)
  const known = compiled.get(key)
  const found = known ?? (await compile(grammar))
  compiled.delete(key)
  compiled.set(key, found)
  for (const [oldest, unused] of compiled) {
    if (compiled.size <= MOST_COMPILED) break
    compiled.delete(oldest)
    // Matchers of it hold what they need themselves.
    unused.dispose()
  }
  return found
}

async function checked({ id, check }: Extract<Question, { check: Grammar }>): Promise<Answer> {
  said = []
  try {
    const grammar = await compile(check)
    grammar.dispose()
  } catch (error) {
    return { id, refused: complaint() ?? wordsOf(error) }
  }
  // A warning means that a part of the schema has no effect.
  const warning = complaint()
  return warning === null ? { id, usable: true } : { id, refused: warning }
}

/** `[FATAL] /path/file.cc:12: message` */
function complaint(): string | null {
  const line = said.find(text => /^\[(FATAL|WARNING|ERROR)\]/.test(text))
  return line === undefined ? null : wordsOf(line.replace(/^\[[A-Z]+\] \S+: /, ''))
}

async function opened(question: Extract<Question, { open: Grammar }>): Promise<Answer> {
  const { id, text } = question
  let grammar: CompiledGrammar
  try {
    grammar = await compiledGrammar(question.open)
  } catch (error) {
    return { id, refused: complaint() ?? wordsOf(error) }
  }
  const matcher = await xgrammar.GrammarMatcher.createGrammarMatcher(grammar)
  matchers.set(text, matcher)
  for (const token of question.tokens) matcher.acceptToken(token)
  return { id, mask: await matcher.getNextTokenBitmask() }
}

async function accepted(question: Extract<Question, { accept: number }>): Promise<Answer> {
  const { id, text, accept } = question
  const matcher = matchers.get(text)
  if (matcher === undefined) return { id, unknown: true }
  if (!matcher.acceptToken(accept)) return { id, failed: `token ${accept} is not allowed here` }
  return { id, mask: await matcher.getNextTokenBitmask() }
}

/** C++ exceptions come as numbers. */
function wordsOf(error: unknown): string {
  if (typeof error === 'number') return 'it is not a grammar that XGrammar takes'
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\s+/g, ' ').trim().slice(0, 300)
}

async function answer(question: Question): Promise<void> {
  if ('close' in question) {
    matchers.get(question.close)?.dispose()
    matchers.delete(question.close)
    return
  }
  const { id } = question
  try {
    const reply = await ('check' in question
      ? checked(question)
      : 'open' in question
        ? opened(question)
        : accepted(question))
    parentPort?.postMessage(reply, 'mask' in reply ? [reply.mask.buffer as ArrayBuffer] : [])
  } catch (error) {
    parentPort?.postMessage({ id, failed: wordsOf(error) })
  }
}

// One after another: the matcher of a text must have been opened before its first token comes.
let last: Promise<void> = Promise.resolve()
parentPort?.on('message', (question: Question) => {
  last = last.then(() => answer(question))
})
