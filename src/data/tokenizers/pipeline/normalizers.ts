// The normalizers of a tokenizer.json: what happens to text before it is cut into words. They follow Hugging Face's
// tokenizers (Rust), where a character is a code point and white space is Unicode's.

import { z } from 'zod'
import { TokenizerError } from '../../../errors.js'
import { toByteLevel } from '../byte-level.js'
import { CharacterMap, replaceGraphemes, replaceLongest } from './character-map.js'
import {
  type Context,
  compilePattern,
  type Makers,
  makeComponent,
  optionsOf,
  patternSchema,
  replaceMatches,
} from './components.js'

export type Normalizer = (text: string) => string

const textEncoder = new TextEncoder()

/** Throws TokenizerError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED. */
export function makeNormalizer(component: unknown, source: string): Normalizer {
  return makeComponent(component, MAKERS, { source, place: 'normalizer', depth: 0 })
}

/** Whether a normalizer may take away or put in characters at the beginning of a text. */
export function movesBeginning(component: unknown): boolean {
  const { type, normalizers, content } = Object(component)
  if (type === 'Sequence') return [normalizers].flat().some(movesBeginning)
  if (type === 'Replace') return content === ''
  return !['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase'].includes(type)
}

const form =
  (name: 'NFC' | 'NFD' | 'NFKC' | 'NFKD') =>
  (component: object, context: Context): Normalizer => {
    optionsOf(component, {}, context)
    return text => text.normalize(name)
  }

const MAKERS: Makers<Normalizer> = {
  NFC: form('NFC'),
  NFD: form('NFD'),
  NFKC: form('NFKC'),
  NFKD: form('NFKD'),
  Sequence(component, context) {
    const { normalizers } = optionsOf(component, { normalizers: z.array(z.unknown()) }, context)
    const steps = normalizers.map(step => makeComponent(step, MAKERS, context))
    return text => steps.reduce((done, step) => step(done), text)
  },
  Lowercase(component, context) {
    optionsOf(component, {}, context)
    return lowercase
  },
  Strip(component, context) {
    const shape = { strip_left: z.boolean(), strip_right: z.boolean() }
    const { strip_left, strip_right } = optionsOf(component, shape, context)
    return text => {
      const left = strip_left ? text.replace(/^\p{White_Space}+/u, '') : text
      return strip_right ? left.replace(/\p{White_Space}+$/u, '') : left
    }
  },
  StripAccents(component, context) {
    optionsOf(component, {}, context)
    return text => text.replace(/\p{M}/gu, '')
  },
  Prepend(component, context) {
    const { prepend } = optionsOf(component, { prepend: z.string() }, context)
    return text => (text === '' ? '' : prepend + text)
  },
  Replace(component, context) {
    const shape = { pattern: patternSchema, content: z.string() }
    const { pattern, content } = optionsOf(component, shape, context)
    if ('String' in pattern && pattern.String !== '') {
      // Every space of a text, most often: the language's own way is ten times as fast.
      const [searched, literal] = [pattern.String, content.replaceAll('$', '$$$$')]
      return text => text.replaceAll(searched, literal)
    }
    const compiled = compilePattern(pattern, context)
    return text => replaceMatches(text, compiled, content)
  },
  ByteLevel(component, context) {
    optionsOf(component, {}, context)
    return text => toByteLevel(textEncoder.encode(text))
  },
  Nmt(component, context) {
    optionsOf(component, {}, context)
    return text =>
      text
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
        .replace(/[\u0001-\u0008\u000B\u000E-\u001F\u007F\u008F\u009F]/g, '')
        .replace(/[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/g, ' ')
  },
  Precompiled(component, context) {
    return replaceGraphemes(characterMap(component, context))
  },
  // Ours alone: how SentencePiece itself, and llama.cpp, apply the table. From a GGUF file.
  PrecompiledLongest(component, context) {
    return replaceLongest(characterMap(component, context))
  },
  BertNormalizer(component, context) {
    const shape = {
      clean_text: z.boolean(),
      handle_chinese_chars: z.boolean(),
      strip_accents: z.boolean().nullable(),
      lowercase: z.boolean(),
    }
    const options = optionsOf(component, shape, context)
    const stripsAccents = options.strip_accents ?? options.lowercase
    return text => {
      let done = text
      if (options.clean_text) {
        done = done.replace(/[\0\uFFFD]|(?![\t\n\r])\p{C}/gu, '').replace(/\p{White_Space}/gu, ' ')
      }
      if (options.handle_chinese_chars) done = done.replace(IDEOGRAPH, ' $& ')
      if (stripsAccents) done = done.normalize('NFD').replace(/\p{Mn}/gu, '')
      return options.lowercase ? lowercase(done) : done
    }
  },
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function characterMap(component: object, context: Context): CharacterMap {
  const { precompiled_charsmap: base64 } = optionsOf(component, { precompiled_charsmap: z.string() }, context)
  if (!BASE64.test(base64)) {
    throw new TokenizerError(
      'TOKENIZER_INVALID',
      `tokenizer ${context.source}: ${context.place}: precompiled_charsmap is not base64`,
    )
  }
  const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0))
  return new CharacterMap(bytes, context.source)
}

/** The blocks that BERT's tokenizer takes for Chinese characters. */
const IDEOGRAPH =
  /[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]/gu

/** Character by character: a final sigma is no exception. */
function lowercase(text: string): string {
  return text.replace(/\p{Changes_When_Lowercased}/gu, character => character.toLowerCase())
}
