// JSON as the programs of this field write it: Python's json module adds NaN, Infinity and -Infinity to the standard.

/** What begins a string that stands for one of the three while it passes through JSON.parse. */
const MARK = '\u0000number '

/** `text` as a value; NaN and infinities become these numbers. Throws SyntaxError, of the text as it is. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error
    const standard = text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, token =>
      token.startsWith('"') ? token : JSON.stringify(MARK + token),
    )
    try {
      return JSON.parse(standard, (_, value: unknown) =>
        typeof value === 'string' && value.startsWith(MARK) ? Number(value.slice(MARK.length)) : value,
      )
    } catch {
      throw error
    }
  }
}
