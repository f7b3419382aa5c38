// Stop strings: however a text is split into pieces, what is returned is the text before the earliest stop string.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkStops, StopStrings } from '../../../src/engine/generation/stop-strings.js'

/** By definition: character after character, until the text so far ends with a stop; the longest such stop is cut off. */
function textBeforeStop(text: string, stops: readonly string[]): { text: string; stop: string | null } {
  const longestFirst = [...stops].sort((a, b) => b.length - a.length)
  for (let end = 1; end <= text.length; end++) {
    const stop = longestFirst.find(stop => text.slice(0, end).endsWith(stop))
    if (stop !== undefined) return { text: text.slice(0, end - stop.length), stop }
  }
  return { text, stop: null }
}

function run(pieces: readonly string[], stops: readonly string[]) {
  const search = new StopStrings(stops)
  const given: string[] = []
  for (const piece of pieces) given.push(search.push(piece))
  return { given, rest: search.end(), stop: search.found }
}

describe('the text that is returned', () => {
  // Few letters, so that stops occur, overlap and repeat.
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 })
  const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 }), {
    maxLength: 30,
  })

  it('is the text before the earliest stop string, however it is split into pieces', () => {
    fc.assert(
      fc.property(pieces, fc.array(letters, { maxLength: 4 }), (cut, stops) => {
        const { given, rest, stop } = run(cut, stops)
        expect({ text: given.join('') + rest, stop }).toEqual(textBeforeStop(cut.join(''), stops))
      }),
      { numRuns: 2000 },
    )
  })

  it('never holds a part of what turns out to be a stop, and holds back no more than it must', () => {
    fc.assert(
      fc.property(pieces, fc.array(letters, { minLength: 1, maxLength: 4 }), (cut, stops) => {
        const search = new StopStrings(stops)
        let [seen, given] = ['', '']
        for (const piece of cut) {
          given += search.push(piece)
          seen += piece
          const before = textBeforeStop(seen, stops)
          if (before.stop !== null) {
            expect(given).toBe(before.text)
            continue
          }
          // What is held back is the longest end of the text that begins a stop.
          const held = seen.slice(given.length)
          const begins = (end: string) => stops.some(stop => stop.length > end.length && stop.startsWith(end))
          const ends = Array.from({ length: seen.length + 1 }, (_, at) => seen.slice(at))
          expect(held).toBe(ends.find(begins) ?? '')
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('of one that the search has seen by indexOf is the text before it, when no stop holds another', () => {
    fc.assert(
      fc.property(pieces, letters, (cut, stop) => {
        const text = cut.join('')
        const at = text.indexOf(stop)
        const { given, rest } = run(cut, [stop])
        expect(given.join('') + rest).toBe(at === -1 ? text : text.slice(0, at))
      }),
    )
  })

  it('comes piece by piece as soon as it is certain', () => {
    expect(run(['Hel', 'lo\n', '\nUser', ':', ' x'], ['\n\nUser:']).given).toEqual(['Hel', 'lo', '', '', ''])
    expect(run(['Hel', 'lo\n', '\nYou', '!'], ['\n\nUser:']).given).toEqual(['Hel', 'lo', '\n\nYou', '!'])
    const unfinished = run(['ab', 'c\n'], ['\n\n'])
    expect(unfinished).toEqual({ given: ['ab', 'c'], rest: '\n', stop: null })
  })

  it('of stops that end together is cut before the longest, of others at the one complete first', () => {
    expect(run(['xabc'], ['c', 'bc', 'abc'])).toMatchObject({ given: ['x'], stop: 'abc' })
    expect(run(['xabcd'], ['abcd', 'bc'])).toMatchObject({ given: ['xa'], stop: 'bc' })
  })

  it('without stops is the text', () => {
    expect(run(['a', '', 'bc'], [])).toEqual({ given: ['a', '', 'bc'], rest: '', stop: null })
  })
})

describe('stops', () => {
  it('are one text, several, or none', () => {
    expect(checkStops(undefined)).toEqual([])
    expect(checkStops('x')).toEqual(['x'])
    expect(checkStops(['x', 'y'])).toEqual(['x', 'y'])
  })

  it.each([[''], [['a', '']], ['\ud83d'], [7], [[7]], [{}]])('%j is refused', stop => {
    expect(() => checkStops(stop as string)).toThrow(expect.objectContaining({ code: 'STOP_INVALID' }))
  })
})
