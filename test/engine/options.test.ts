// Options of the engine's public functions: an unknown name, a value of the wrong type or one out of range is refused with a
// code, and the message names the option and the value received.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, LanguageModel, load, Session } from '../../src/engine/index.js'
import { FlickerError, OptionError } from '../../src/errors.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { randomTensors, smallConfig, tensorOf } from './naive-model.js'

const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: 64 }
const tensor = tensorOf(randomTensors(config, 9))
const engine = new EngineModel(config, tensor)
const chat = { templates: new Map([['default', '{{ messages[0].content }}']]), specialTokens: {} }
const model = new LanguageModel(engine, tokenizer, { chat })
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-options-'))
const checkpoint = path.join(directory, 'model')
writeCheckpoint(checkpoint, {
  config,
  tensors: parameterShapes(config).map(({ name, shape }) => ({ name, shape, data: tensor(name) })),
  dtype: 'f32',
  tokenizer: tokenizer.toJSON(),
})
afterAll(() => fs.rmSync(directory, { recursive: true }))

/** What JavaScript may pass where the types forbid it. */
const untyped = <T>(value: unknown) => value as T

/** [what is called, the code, what its message must contain]. */
type Refusal = readonly [call: () => unknown, code: string, ...message: string[]]

async function refusalOf(call: () => unknown): Promise<unknown> {
  try {
    const result = await call()
    if (typeof result === 'object' && result !== null && Symbol.asyncIterator in result) {
      for await (const _ of result as AsyncIterable<unknown>) break
    }
  } catch (error) {
    return error
  }
  return null
}

function refuses(title: string, cases: Readonly<Record<string, Refusal>>): void {
  it.each(Object.entries(cases))(`${title}: %s`, async (_name, [call, code, ...message]) => {
    const error = await refusalOf(call)
    expect(error).toBeInstanceOf(FlickerError)
    const { code: found, message: text, exitCode } = error as FlickerError
    expect({ found, exitCode }).toEqual({ found: code, exitCode: 2 })
    for (const part of message) expect(text).toContain(part)
    expect(text).not.toContain('\n')
  })
}

const functions = {
  generate: (prompt: unknown, options?: unknown) => model.generate(untyped(prompt), untyped(options)),
  generateMany: (prompt: unknown, options?: unknown) => model.generateMany(untyped(prompt), untyped(options)),
  complete: (prompt: unknown, options?: unknown) => model.complete(untyped(prompt), untyped(options)),
  completeMany: (prompt: unknown, options?: unknown) => model.completeMany(untyped(prompt), untyped(options)),
}

describe.each(Object.entries(functions))('%s', (name, call) => {
  refuses('refuses a prompt that is none', {
    'no argument': [() => call(undefined), 'PROMPT_INVALID', 'prompt', 'undefined'],
    null: [() => call(null), 'PROMPT_INVALID', 'null'],
    'a number': [() => call(7), 'PROMPT_INVALID', '7'],
    'an empty object': [() => call({}), 'PROMPT_INVALID', '{}'],
    'an object with a length': [() => call({ length: 0 }), 'PROMPT_INVALID', 'length: 0'],
    'a misspelled conversation': [() => call({ message: [] }), 'PROMPT_INVALID', 'message: []'],
    'a function': [() => call(() => 'a'), 'PROMPT_INVALID', 'Function'],
    'a buffer': [() => call(new ArrayBuffer(8)), 'PROMPT_INVALID', 'ArrayBuffer'],
    'a token that is text': [() => call(['a']), 'TOKEN_OUT_OF_VOCABULARY', '"a"', 'position 0'],
    'a token that is missing': [
      () => call([1, undefined]),
      'TOKEN_OUT_OF_VOCABULARY',
      'undefined',
      'position 1',
    ],
    'a conversation with an unknown option': [
      () => call({ messages: [{ role: 'user', content: 'a' }], tempate: 'x' }),
      'OPTION_UNKNOWN',
      'tempate',
      'Did you mean "template"',
    ],
    'a conversation whose messages are text': [() => call({ messages: 'hello' }), 'CHAT_MESSAGES_INVALID'],
  })

  refuses('refuses options of the wrong type', {
    null: [() => call('a', null), 'OPTION_TYPE', 'options', 'null'],
    'a string': [() => call('a', 'fast'), 'OPTION_TYPE', '"fast"'],
    'an array': [() => call('a', [1]), 'OPTION_TYPE'],
    'a misspelled name': [
      () => call('a', { maxToken: 3 }),
      'OPTION_UNKNOWN',
      'maxToken',
      'Did you mean "maxTokens"',
    ],
    'an option of chat': [() => call('a', { template: 'x' }), 'OPTION_UNKNOWN', 'template', 'chat()'],
    'maxTokens in text': [() => call('a', { maxTokens: '3' }), 'MAX_TOKENS_RANGE', 'maxTokens', '"3"'],
    'seed in text': [() => call('a', { seed: '3' }), 'SEED_RANGE', 'seed', '"3"'],
    'seed as a fraction': [() => call('a', { seed: 0.5 }), 'SEED_RANGE', '0.5'],
    'a negative sequence': [() => call('a', { sequence: -1 }), 'SEQUENCE_RANGE', 'sequence', '-1'],
    'temperature as an object': [() => call('a', { temperature: {} }), 'TEMPERATURE_RANGE', '{}'],
    'temperature as a symbol': [
      () => call('a', { temperature: Symbol('t') }),
      'TEMPERATURE_RANGE',
      'Symbol(t)',
    ],
    'topK as a bigint': [() => call('a', { temperature: 1, topK: 5n }), 'TOP_K_RANGE', '5n'],
    'topP as null': [() => call('a', { temperature: 1, topP: null }), 'TOP_P_RANGE', 'null'],
    'stop as a number': [() => call('a', { stop: 5 }), 'STOP_INVALID', 'stop', '5'],
    'stop with a number': [() => call('a', { stop: ['x', 5] }), 'STOP_INVALID', '5'],
    'ignoreEos in text': [() => call('a', { ignoreEos: 'no' }), 'OPTION_TYPE', 'ignoreEos', '"no"'],
    'the former name of ignoreEos in text': [
      () => call('a', { ignoreEndOfText: 'no' }),
      'OPTION_TYPE',
      '"no"',
    ],
    'activation as a number': [() => call('a', { activation: 5 }), 'OPTION_TYPE', 'activation', '5'],
    'activation as an object': [() => call('a', { activation: {} }), 'OPTION_TYPE', 'activation', '{}'],
    'an unknown activation': [() => call('a', { activation: 'rellu' }), 'ACTIVATION_UNKNOWN', 'rellu'],
    'topLogprobs as a boolean': [() => call('a', { topLogprobs: true }), 'TOP_LOGPROBS_RANGE', 'true'],
    'signal as an object': [() => call('a', { signal: {} }), 'SIGNAL_INVALID', 'signal', '{}'],
    'logitBias as a number': [() => call('a', { logitBias: 5 }), 'LOGIT_BIAS_TYPE', 'logitBias', '5'],
    'logitBias as text': [() => call('a', { logitBias: 'a=1' }), 'LOGIT_BIAS_TYPE', '"a=1"'],
    'logitBias as an array': [() => call('a', { logitBias: [1, 2] }), 'LOGIT_BIAS_TYPE', '1, 2'],
    'logitBias as null': [() => call('a', { logitBias: null }), 'LOGIT_BIAS_TYPE', 'null'],
    'logitBias of text': [() => call('a', { logitBias: { 7: '1' } }), 'LOGIT_BIAS_RANGE', '"1"'],
    'presencePenalty in text': [() => call('a', { presencePenalty: '1' }), 'PRESENCE_PENALTY_RANGE', '"1"'],
    'repetitionPenalty as null': [
      () => call('a', { repetitionPenalty: null }),
      'REPETITION_PENALTY_RANGE',
      'null',
    ],
    'n in text': [() => call('a', { n: '2' }), 'N_RANGE', '"2"'],
    'several continuations of one': [
      () => (name.endsWith('Many') ? call('a', { n: 0 }) : call('a', { n: 2 })),
      'N_RANGE',
      'n ',
    ],
  })
})

describe('chat and the functions around it', () => {
  const messages = [{ role: 'user', content: 'a' }]
  refuses('refuse', {
    'options that are null': [() => model.chat(messages, untyped(null)), 'OPTION_TYPE', 'null'],
    'an unknown option': [() => model.chat(messages, untyped({ tools_: [] })), 'OPTION_UNKNOWN', 'tools_'],
    'messages that are missing': [() => model.chat(untyped(undefined)), 'CHAT_MESSAGES_INVALID'],
    'an unknown option of renderChat': [
      () => model.renderChat(messages, untyped({ maxTokens: 3 })),
      'OPTION_UNKNOWN',
      'maxTokens',
    ],
    'a listener that is no function': [
      () => model.complete('a', untyped({ onToken: 'print' })),
      'OPTION_TYPE',
      'onToken',
      '"print"',
    ],
  })
})

describe('load', () => {
  const withOptions = (options: unknown) => () => load(checkpoint, untyped(options))
  refuses('refuses', {
    'a path that is a number': [() => load(untyped(5)), 'OPTION_TYPE', 'path', '5'],
    'no path': [() => load(untyped(undefined)), 'OPTION_TYPE', 'path', 'undefined'],
    'options that are null': [withOptions(null), 'OPTION_TYPE', 'options', 'null'],
    'an unknown option': [withOptions({ dype: 'f32' }), 'OPTION_UNKNOWN', 'dype', 'Did you mean "dtype"'],
    'an option of generate': [withOptions({ maxTokens: 3 }), 'OPTION_UNKNOWN', 'maxTokens'],
    'a number as dtype': [withOptions({ dtype: 16 }), 'DTYPE_UNKNOWN', 'dtype', '16'],
    'null as kv': [withOptions({ kv: null }), 'KV_UNKNOWN', 'kv', 'null'],
    'a boolean as ffn': [withOptions({ ffn: true }), 'FFN_UNKNOWN', 'ffn', 'true'],
    'a boolean as narrowGate': [
      withOptions({ narrowGate: true }),
      'NARROW_GATE_UNKNOWN',
      'narrowGate',
      'true',
    ],
    'a list as tokenizer': [withOptions({ tokenizer: ['a'] }), 'OPTION_TYPE', 'tokenizer', "[ 'a' ]"],
    'tokens as compact': [withOptions({ compact: [1, 2] }), 'OPTION_TYPE', 'compact', '[ 1, 2 ]'],
    'text as allowCode': [withOptions({ allowCode: 'yes' }), 'OPTION_TYPE', 'allowCode', '"yes"'],
    'a function as activation': [withOptions({ activation: Math.sin }), 'OPTION_TYPE', 'activation', 'sin'],
    'text as kernels': [withOptions({ kernels: 'native' }), 'OPTION_TYPE', 'kernels', '"native"'],
    'text as exact': [withOptions({ exact: 'yes' }), 'OPTION_TYPE', 'exact', '"yes"'],
    'a boolean as sparsePrompt': [
      withOptions({ sparsePrompt: true }),
      'SPARSE_PROMPT_UNKNOWN',
      'sparsePrompt',
      'true',
    ],
    'a number as observer': [withOptions({ observer: 1 }), 'OPTION_TYPE', 'observer', '1'],
    'a number as memory': [withOptions({ memory: 1e9 }), 'OPTION_TYPE', 'memory', '1000000000'],
    'a number as backend': [withOptions({ backend: 3 }), 'BACKEND_UNKNOWN', 'backend', '3'],
    'a text as context': [withOptions({ context: '8' }), 'CONTEXT_RANGE', 'context', '"8"'],
    'a cache in f16 on a GPU': [withOptions({ backend: 'webgpu', kv: 'f16' }), 'WEBGPU_OPTION', 'kv f16'],
    'the narrow gate on a GPU': [
      withOptions({ backend: 'webgpu', narrowGate: 'on' }),
      'WEBGPU_OPTION',
      'narrowGate on',
    ],
  })

  it('loads with every option that it lists', async () => {
    const listed = await refusalOf(withOptions({ no: true }))
    expect((listed as OptionError).message).toContain(
      'dtype, kv, activations, ffn, narrowGate, activation, kernels, compact, sparsePrompt, reuse, predictor, context, replay, ' +
        'observer, memory, exact, backend, tokenizer, allowCode, download.',
    )
    const loaded = await load(checkpoint, { dtype: 'bf16', kv: 'f16', ffn: 'dense', narrowGate: 'off' })
    expect([loaded.engine.dtype, loaded.engine.kv]).toEqual(['bf16', 'f16'])
    loaded.dispose()
  })

  it('refuses a model that is a loop of links', async () => {
    const loop = path.join(directory, 'loop')
    fs.symlinkSync('loop', loop)
    const error = await refusalOf(() => load(loop))
    expect(error).toBeInstanceOf(FlickerError)
    expect((error as FlickerError).message).toContain(loop)
    const compact = await refusalOf(() => load(checkpoint, { compact: loop }))
    expect(compact).toBeInstanceOf(OptionError)
    expect((compact as OptionError).code).toBe('COMPACT_TEXT')
  })
})

describe('an engine model and its sessions', () => {
  const session = () => engine.session()
  const relu = parseActivation('relu')
  refuses('refuse', {
    'a config that is null': [() => new EngineModel(untyped(null), tensor), 'OPTION_TYPE', 'config', 'null'],
    'a source that is text': [
      () => new EngineModel(config, untyped('model')),
      'OPTION_TYPE',
      'source',
      '"model"',
    ],
    'no source': [() => new EngineModel(config, untyped(undefined)), 'OPTION_TYPE', 'source'],
    'an unknown option': [
      () => new EngineModel(config, tensor, untyped({ kvs: 1 })),
      'OPTION_UNKNOWN',
      'kvs',
    ],
    'cuts that are no list': [
      () => new EngineModel(config, tensor, untyped({ cuts: 'none' })),
      'OPTION_TYPE',
      'cuts',
      '"none"',
    ],
    'text to compact with': [
      () => new EngineModel(config, tensor, untyped({ compact: 'text' })),
      'OPTION_TYPE',
      'compact',
      '"text"',
    ],
    'session options that are null': [() => engine.session(untyped(null)), 'OPTION_TYPE', 'null'],
    'an unknown session option': [() => engine.session(untyped({ sed: 1 })), 'OPTION_UNKNOWN', 'sed'],
    'a seed in text': [() => engine.session(untyped({ seed: '1' })), 'SEED_RANGE', 'seed', '"1"'],
    'a sequence beyond 32 bits': [
      () => engine.session({ sequence: 2 ** 32 }),
      'SEQUENCE_RANGE',
      '4294967296',
    ],
    'an activation by name': [
      () => engine.session(untyped({ activation: 'relu' })),
      'OPTION_TYPE',
      'activation',
      '"relu"',
    ],
    'tokens that are missing': [
      () => session().prefill(untyped(undefined)),
      'OPTION_TYPE',
      'tokens',
      'undefined',
    ],
    'tokens that are text': [() => session().prefill(untyped('abc')), 'OPTION_TYPE', 'tokens', '"abc"'],
    'a token that is text': [() => session().step(untyped('a')), 'TOKEN_OUT_OF_VOCABULARY', '"a"'],
    'no tokens': [() => session().prefill([]), 'PROMPT_EMPTY'],
    'room for too few logits': [
      () => session().prefill([1, 2], new Float32Array(config.vocabSize)),
      'OPTION_TYPE',
      'all',
      `2 × ${config.vocabSize}`,
    ],
    'room for logits of another type': [
      () => session().prefill([1], untyped(new Float64Array(config.vocabSize))),
      'OPTION_TYPE',
      'all',
    ],
    'a fork of a number': [() => session().fork(untyped(2)), 'OPTION_TYPE', 'fork', '2'],
    'a fork with an unknown option': [() => session().fork(untyped([{ sed: 1 }])), 'OPTION_UNKNOWN', 'sed'],
    'a session that is none': [() => Session.stepTogether(untyped([{}]), [1]), 'OPTION_TYPE', 'sessions'],
    'sessions that are missing': [() => Session.stepTogether(untyped(null), [1]), 'OPTION_TYPE', 'null'],
    'tokens of sessions that are missing': [
      () => Session.stepTogether([session()], untyped(undefined)),
      'OPTION_TYPE',
      'tokens',
    ],
    'logits of no tokens': [() => engine.logits([]), 'PROMPT_EMPTY'],
    'logits of a number': [() => engine.logits(untyped(3)), 'OPTION_TYPE', 'tokens', '3'],
    'logits of more tokens than the context': [
      () => engine.logits(Array(65).fill(1)),
      'CONTEXT_OVERFLOW',
      '65',
      '64',
    ],
  })

  it('a session takes the options that are left out, or undefined, from its model', () => {
    const [fork] = engine.session({ seed: 5, sequence: 2 }).fork([{ seed: undefined, activation: relu }])
    expect([fork.seed, fork.sequence, fork.activation]).toEqual([5, 2, relu])
    expect(engine.session({ activation: undefined }).activation).toBe(engine.activation)
  })
})

describe('ignoreEos', () => {
  it('is also known by its former name', async () => {
    const end = [tokenizer.encode('a')[0]]
    const ending = new LanguageModel(engine, tokenizer, { endOfText: [...Array(256).keys(), ...end] })
    const length = async (options: object) =>
      (await ending.complete('a', { maxTokens: 4, ...options })).tokens.length
    expect(await length({})).toBe(1)
    expect(await length({ ignoreEos: true })).toBe(4)
    expect(await length({ ignoreEndOfText: true })).toBe(4)
    expect(await length({ ignoreEos: false, ignoreEndOfText: true })).toBe(1)
  })
})
