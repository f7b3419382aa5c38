// Values of GGUF's metadata in messages.

import { quoted } from '../safetensors.js'
import type { MetadataValue } from './types.js'

/** A value as it can stand in a one-line message. */
export function valueText(value: MetadataValue): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value !== 'object') return String(value)
  const shown = Array.from(value as ArrayLike<unknown>).slice(0, 4)
  const list = shown
    .map(element => (typeof element === 'string' ? quoted(element) : String(element)))
    .join(', ')
  return `[${list}${value.length > shown.length ? ', …' : ''}]`
}
