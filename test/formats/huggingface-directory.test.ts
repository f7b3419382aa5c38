// What a model's files say beside config and weights: ends of a text, chat templates, special tokens.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { load } from '../../src/engine/index.js'
import { FlickerError } from '../../src/errors.js'
import { readHuggingFaceDirectory } from '../../src/formats/huggingface/directory.js'
import { writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { convertModel, openModel } from '../../src/formats/index.js'
import { contentOf, temporaryDirectory, tinyConfig } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let made = 0

/** A checkpoint with these files in place of, or beside, its own; undefined removes one. */
function directory(files: Record<string, unknown>): string {
  const dir = path.join(root, `model-${made++}`)
  const tokenizer = bytesTokenizer()
  writeCheckpoint(
    dir,
    contentOf({ ...tinyConfig, vocabSize: tokenizer.vocabSize }, { tokenizer: tokenizer.toJSON() }),
  )
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(dir, name)
    if (content === undefined) {
      fs.rmSync(file)
      continue
    }
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
  return dir
}

function withConfig(changes: Record<string, unknown>, files: Record<string, unknown> = {}): string {
  const dir = directory(files)
  const file = path.join(dir, 'config.json')
  fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), ...changes }))
  return dir
}

describe('chat templates and special tokens', () => {
  it('are none where the files are missing', () => {
    const read = readHuggingFaceDirectory(
      withConfig(
        { eos_token_id: null },
        { 'tokenizer_config.json': undefined, 'generation_config.json': undefined },
      ),
    )
    expect(read.endOfText).toEqual([])
    expect(read.chatTemplates).toEqual(new Map())
    expect(read.tokenizerConfig).toEqual({ specialTokens: {}, addedTokens: [], chatTemplates: new Map() })
  })

  it('are one template, or a list of them by name, and tokens as text or as objects', () => {
    const one = {
      chat_template: 'A',
      bos_token: '<s>',
      eos_token: { content: '</s>', lstrip: false },
      pad_token: null,
    }
    const read = readHuggingFaceDirectory(directory({ 'tokenizer_config.json': one }))
    expect(read.chatTemplates).toEqual(new Map([['default', 'A']]))
    expect(read.tokenizerConfig.specialTokens).toEqual({ bos_token: '<s>', eos_token: '</s>' })
    const several = [
      { name: 'default', template: 'A' },
      { name: 'rag', template: 'B' },
    ]
    const list = readHuggingFaceDirectory(directory({ 'tokenizer_config.json': { chat_template: several } }))
    expect([...list.chatTemplates]).toEqual([
      ['default', 'A'],
      ['rag', 'B'],
    ])
  })

  it('are files that replace those of tokenizer_config.json', () => {
    const dir = directory({
      'tokenizer_config.json': { chat_template: 'old' },
      'chat_template.jinja': 'new',
      'additional_chat_templates/tool_use.jinja': 'tools',
    })
    expect([...readHuggingFaceDirectory(dir).chatTemplates]).toEqual([
      ['default', 'new'],
      ['tool_use', 'tools'],
    ])
  })

  it('have the flags of each added token', () => {
    const dir = directory({
      'tokenizer_config.json': {
        added_tokens_decoder: { 7: { content: '<x>', rstrip: true, special: true } },
      },
    })
    expect(readHuggingFaceDirectory(dir).tokenizerConfig.addedTokens).toEqual([
      {
        id: 7,
        content: '<x>',
        singleWord: false,
        lstrip: false,
        rstrip: true,
        normalized: false,
        special: true,
      },
    ])
  })

  it.each(['hf', 'gguf'] as const)('survive a conversion to %s, as do all ends of a text', to => {
    const source = directory({
      'tokenizer_config.json': {
        chat_template: [
          { name: 'default', template: 'A' },
          { name: 'tool_use', template: 'B' },
        ],
      },
      'generation_config.json': { eos_token_id: [256, 3, 4] },
    })
    const target = path.join(root, `converted-${made++}`)
    convertModel(source, target, { to })
    const model = openModel(target)
    // A vocabulary that llama.cpp cannot use has its own end in its tokenizer.json alone.
    const own = model.tokenizer().endOfText
    model.close()
    expect(new Set([own, ...model.endOfText])).toEqual(new Set([256, 3, 4]))
    expect(model.chatTemplates).toEqual(
      new Map([
        ['default', 'A'],
        ['tool_use', 'B'],
      ]),
    )
  })
})

describe('the ends of a text', () => {
  it.each([
    ['of generation_config.json', { eos_token_id: [1, 5] }, 7, [1, 5]],
    ['a single one', { eos_token_id: 3 }, 7, [3]],
    ['of config.json where generation_config.json names none', {}, 7, [7]],
    ['a list in config.json', { eos_token_id: null }, [7, 8], [7, 8]],
    ['the first id of the vocabulary', { eos_token_id: 0 }, 7, [0]],
    ['none as -1', { eos_token_id: -1 }, -1, []],
    ['-1 among others', { eos_token_id: [-1, 4] }, null, [4]],
  ])('are %s', (_, generation, config, expected) => {
    const dir = withConfig({ eos_token_id: config }, { 'generation_config.json': generation })
    expect(readHuggingFaceDirectory(dir).endOfText).toEqual(expected)
  })
})

describe('a directory that an interrupted writer has set aside', () => {
  it('is read whole: weights, tokenizer, ends of a text and templates', async () => {
    const dir = directory({
      'tokenizer_config.json': { chat_template: 'T', eos_token: '<|endoftext|>' },
      'generation_config.json': { eos_token_id: [256, 9] },
    })
    fs.renameSync(dir, path.join(root, `.${path.basename(dir)}.old-1-1`))
    const model = await load(dir)
    expect(model.endOfText).toEqual([256, 9])
    expect(model.chatTemplates.templates).toEqual(new Map([['default', 'T']]))
    // As a tokenizer for another model as well.
    const other = await load(directory({}), { tokenizer: dir })
    expect(other.tokenizer.vocabSize).toBe(bytesTokenizer().vocabSize)
  })
})

describe('files that are wrong are refused', () => {
  it.each([
    ['generation_config.json', { eos_token_id: 'x' }, 'GENERATION_CONFIG_INVALID'],
    ['generation_config.json', { eos_token_id: [1.5] }, 'GENERATION_CONFIG_INVALID'],
    ['generation_config.json', '[', 'GENERATION_CONFIG_INVALID'],
    ['tokenizer_config.json', { chat_template: 5 }, 'TOKENIZER_CONFIG_INVALID'],
    ['tokenizer_config.json', { chat_template: [{ name: 'a' }] }, 'TOKENIZER_CONFIG_INVALID'],
    ['tokenizer_config.json', { chat_template: 'x'.repeat(2 ** 22 + 1) }, 'TOKENIZER_CONFIG_INVALID'],
    ['tokenizer_config.json', { added_tokens_decoder: { x: { content: 'x' } } }, 'TOKENIZER_CONFIG_INVALID'],
    ['tokenizer_config.json', '{', 'TOKENIZER_CONFIG_INVALID'],
    ['chat_template.jinja', 'x'.repeat(2 ** 22 + 1), 'CHAT_TEMPLATE_FILE'],
    ['additional_chat_templates/a.jinja', 'x'.repeat(2 ** 22 + 1), 'CHAT_TEMPLATE_FILE'],
  ])('%s (%#)', (name, content, code) => {
    const dir = directory({ [name]: content })
    let error: unknown
    try {
      readHuggingFaceDirectory(dir)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(FlickerError)
    expect(error).toMatchObject({ code })
    expect((error as Error).message).toContain(path.join(dir, name))
  })
})

describe('numbers that Python writes and JSON has not', () => {
  it('are no obstacle where they mean nothing', () => {
    const dir = directory({})
    const file = path.join(dir, 'config.json')
    const text = fs.readFileSync(file, 'utf8')
    fs.writeFileSync(
      file,
      text.replace(
        '"attention_dropout": 0,',
        '"attention_dropout": NaN, "note": "NaN \\" Infinity", "x": [-Infinity],',
      ),
    )
    expect(readHuggingFaceDirectory(dir).model.config).toMatchObject({ hiddenSize: 8 })
  })

  it('are refused by the field that they stand for', () => {
    const dir = directory({})
    const file = path.join(dir, 'config.json')
    const text = fs.readFileSync(file, 'utf8')
    fs.writeFileSync(file, text.replace('"rms_norm_eps": 0.00001', '"rms_norm_eps": NaN'))
    expect(() => readHuggingFaceDirectory(dir)).toThrow(/config\.json: rms_norm_eps: .*NaN/)
  })
})
