// What a text is generated with, kept in the browser between visits.

export interface Settings {
  readonly prompt: string
  readonly maxTokens: number
  readonly temperature: number
  readonly topP: number
  readonly seed: number
  /** Texts side by side. */
  readonly n: number
  /** Instead of the model's activation, StochA with this p: null for the model's own. */
  readonly p: number | null
}

export const DEFAULTS: Settings = {
  prompt: 'Once upon a time',
  maxTokens: 120,
  temperature: 0.8,
  topP: 0.95,
  seed: 1,
  n: 1,
  p: null,
}

/** Where the model of the last visit was, and how it was tokenized. */
export interface LastModel {
  readonly url: string
  readonly tokenizer: string
}

function kept<T extends object>(key: string, defaults: T): T {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<T>
    const known = Object.entries(found).filter(([name]) => name in defaults)
    return { ...defaults, ...(Object.fromEntries(known) as Partial<T>) }
  } catch {
    return defaults
  }
}

function keep(key: string, value: object): void {
  try {
    localStorage.setItem(key, JSON.stringify(value))
  } catch {
    // Without storage the next visit begins with the defaults.
  }
}

export const readSettings = () => kept('flicker-settings', DEFAULTS)
export const keepSettings = (settings: Settings) => keep('flicker-settings', settings)

/** Of the address (`#model=URL&tokenizer=URL`), else of the last visit. */
export function readModel(): LastModel {
  const given = new URLSearchParams(location.hash.slice(1))
  const url = given.get('model')
  if (url !== null) return { url, tokenizer: given.get('tokenizer') ?? '' }
  return kept('flicker-model', { url: '', tokenizer: '' })
}
export const keepModel = (model: LastModel) => keep('flicker-model', model)
