// The decoders of a tokenizer.json: from tokens to text. They follow Hugging Face's tokenizers (Rust).

import { z } from 'zod'
import { fromByteLevel, textOfPieces } from '../byte-level.js'
import {
  compilePattern,
  type Makers,
  makeComponent,
  optionsOf,
  patternSchema,
  replaceMatches,
} from './components.js'

/** The tokens as text; joined they are what was decoded. */
export type Decoder = (tokens: readonly string[]) => string[]

/** Throws TokenizerError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED. */
export function makeDecoder(component: unknown, source: string): Decoder {
  return makeComponent(component, MAKERS, { source, place: 'decoder', depth: 0 })
}

const FALLBACK_BYTE = /^<0x([0-9A-Fa-f]{2})>$/
const textEncoder = new TextEncoder()

const MAKERS: Makers<Decoder> = {
  Sequence(component, context) {
    const { decoders } = optionsOf(component, { decoders: z.array(z.unknown()) }, context)
    const steps = decoders.map(step => makeComponent(step, MAKERS, context))
    return tokens => steps.reduce((done: readonly string[], step) => step(done), tokens) as string[]
  },
  ByteLevel(component, context) {
    const ignored = z.boolean().optional()
    optionsOf(component, { add_prefix_space: ignored, trim_offsets: ignored, use_regex: ignored }, context)
    return tokens => {
      const bytes = tokens.map(token => fromByteLevel(token) ?? textEncoder.encode(token))
      return [textOfPieces(bytes)]
    }
  },
  Fuse(component, context) {
    optionsOf(component, {}, context)
    return tokens => [tokens.join('')]
  },
  Replace(component, context) {
    const { pattern, content } = optionsOf(
      component,
      { pattern: patternSchema, content: z.string() },
      context,
    )
    const compiled = compilePattern(pattern, context)
    return tokens => tokens.map(token => replaceMatches(token, compiled, content))
  },
  Strip(component, context) {
    const shape = {
      content: z.string().refine(text => [...text].length === 1, 'is not one character'),
      start: z.int().min(0),
      stop: z.int().min(0),
    }
    const { content, start, stop } = optionsOf(component, shape, context)
    return tokens =>
      tokens.map(token => {
        const characters = [...token]
        let from = 0
        while (from < start && characters[from] === content) from++
        let to = characters.length
        while (to > from && characters.length - to < stop && characters[to - 1] === content) to--
        return characters.slice(from, to).join('')
      })
  },
  ByteFallback(component, context) {
    optionsOf(component, {}, context)
    return tokens => {
      const decoded: string[] = []
      let bytes: number[] = []
      const flush = () => {
        if (bytes.length > 0) decoded.push(textOfBytes(Uint8Array.from(bytes)))
        bytes = []
      }
      for (const token of tokens) {
        const byte = FALLBACK_BYTE.exec(token)
        if (byte !== null) {
          bytes.push(Number.parseInt(byte[1], 16))
          continue
        }
        flush()
        decoded.push(token)
      }
      flush()
      return decoded
    }
  },
  Metaspace(component, context) {
    const shape = {
      replacement: z.string(),
      add_prefix_space: z.boolean().optional(),
      prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
      split: z.boolean().optional(),
      str_rep: z.string().optional(),
    }
    const options = optionsOf(component, shape, context)
    const scheme = options.prepend_scheme ?? (options.add_prefix_space === false ? 'never' : 'always')
    return tokens =>
      tokens.map((token, i) =>
        token.replaceAll(options.replacement, i === 0 && scheme !== 'never' ? '' : ' '),
      )
  },
  WordPiece(component, context) {
    const { prefix, cleanup } = optionsOf(component, { prefix: z.string(), cleanup: z.boolean() }, context)
    return tokens =>
      tokens.map((token, i) => {
        const spaced = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
        return cleanup ? cleaned(spaced) : spaced
      })
  },
  BPEDecoder(component, context) {
    const { suffix } = optionsOf(component, { suffix: z.string().min(1) }, context)
    return tokens => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '))
  },
}

/** Bytes that are not UTF-8 become one U+FFFD each. */
function textOfBytes(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return '\uFFFD'.repeat(bytes.length)
  }
}

/** What WordPiece calls cleaning up: the spaces that its words put before punctuation and English contractions. */
function cleaned(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re")
}
