// Text from outside (samples, labels, file names) made safe to look at: what cannot be printed is shown, not obeyed.

/**
 * `text` with control characters as their Unicode pictures (NUL → ␀, ESC → ␛), lone surrogates and the two
 * noncharacters XML forbids as U+FFFD, and bidirectional overrides as U+FFFD, so that they cannot turn the text
 * around them. Line breaks and tabs stay; `\r\n` and a lone `\r` become `\n`.
 */
export function visibleText(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[\p{Surrogate}\uFFFE\uFFFF\u202A-\u202E\u2066-\u2069]/gu, '\uFFFD')
    .replace(/\p{Control}/gu, picture)
}

/** The same on one line: for labels and table cells. */
export function visibleLine(text: string): string {
  return visibleText(text).replace(/\s+/g, ' ').trim()
}

function picture(control: string): string {
  if (control === '\n' || control === '\t') return control
  const code = control.charCodeAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  return code === 0x7f ? '\u2421' : '\uFFFD'
}

/** Columns that `text` takes on a terminal: wide East Asian characters and emoji take two. */
export function displayWidth(text: string): number {
  let width = 0
  for (const { segment } of new Intl.Segmenter('en').segment(text)) width += isWide(segment) ? 2 : 1
  return width
}

function isWide(grapheme: string): boolean {
  return /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|\uFE0F|[\u3000-\u303F\uFF01-\uFF60]/u.test(
    grapheme,
  )
}

/** `text` cut to at most `columns`, with `…` in place of what is missing. Graphemes stay whole. */
export function shorten(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text
  let kept = ''
  let width = 1
  for (const { segment } of new Intl.Segmenter('en').segment(text)) {
    width += isWide(segment) ? 2 : 1
    if (width > columns) break
    kept += segment
  }
  return `${kept.trimEnd()}…`
}
