// HTML built by a template tag that escapes whatever is put into it: markup is only what was written as markup here.

import { visibleText } from './visible-text.js'

/** A piece of markup: safe to place in a page as it is. */
export class Markup {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  toString(): string {
    return this.#text
  }
}

type Content = string | number | Markup | null | false | readonly Content[]

/**
 * html`<b>${name}</b>`: strings are escaped (in text and in quoted attributes), arrays joined, null and false leave
 * nothing, other markup stays as it is.
 */
export function html(parts: TemplateStringsArray, ...contents: Content[]): Markup {
  return new Markup(parts.map((part, i) => (i === 0 ? part : written(contents[i - 1]) + part)).join(''))
}

function written(content: Content): string {
  if (content === null || content === false) return ''
  if (content instanceof Markup) return content.toString()
  if (typeof content === 'object') return content.map(written).join('')
  return escapeHtml(visibleText(String(content)))
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}
