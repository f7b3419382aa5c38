// Settings of ways, prompts, and the comparison at the same quality.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type ComparedWay, compareAtSameQuality, interpolated } from '../../src/diversity/compare.js'
import { readPrompts } from '../../src/diversity/prompts.js'
import { activationOf, parseDiversitySettings, readDiversitySettings } from '../../src/diversity/settings.js'
import { temporaryDirectory } from '../formats/tiny-model.js'

const work = temporaryDirectory()
afterAll(() => fs.rmSync(work, { recursive: true }))

describe('ways', () => {
  const ways = (text: string) => parseDiversitySettings(text, 'mine.yaml').ways

  it('lists make a grid, and each way has a label and a family', () => {
    const listed = ways(`
ways:
  - temperature: [0.5, 1]
  - topP: 0.9
  - minP: 0.1
    temperature: 1.5
  - p: [0.2, 0.4]
  - p: 0.3
    temperature: [0.5, 1]
  - p: 0.3
    topK: 5
    temperature: 1
    activation: stocha:positive=silu
`)
    expect(listed.map(({ label, family }) => [label, family])).toEqual([
      ['T 0.5', 'temperature'],
      ['T 1', 'temperature'],
      ['T 1, top-p 0.9', 'top-p'],
      ['T 1.5, min-p 0.1', 'min-p'],
      ['p 0.2', 'StochA'],
      ['p 0.4', 'StochA'],
      ['p 0.3, T 0.5', 'StochA and temperature'],
      ['p 0.3, T 1', 'StochA and temperature'],
      ['stocha:positive=silu p 0.3, T 1, top-k 5', 'StochA and top-k'],
    ])
    expect(listed.map(way => [way.temperature, activationOf(way, 'relu')]).slice(3)).toEqual([
      [1.5, 'relu'],
      [0, 'stocha:p=0.2'],
      [0, 'stocha:p=0.4'],
      [0.5, 'stocha:p=0.3'],
      [1, 'stocha:p=0.3'],
      [1, 'stocha:positive=silu,p=0.3'],
    ])
  })

  it('a model with SiLU is drawn with SiLU above 0', () => {
    const [way] = ways('ways:\n  - p: 0.2')
    expect(activationOf(way, 'silu')).toBe('stocha:positive=silu,p=0.2')
  })

  it.each([
    ['ways:\n  - temperature: 0', /“greedy” always gives the same text/],
    ['ways:\n  - p: 1', /“p 1” always gives the same text/],
    ['ways:\n  - p: 0.5\n    topP: 0.9', /“p 0.5, top-p 0.9” has nothing to choose among at temperature 0/],
    ['ways:\n  - temperature: [1, 1]', /“T 1” is listed twice/],
    ['ways:\n  - temprature: 1', /temprature: unknown key\. Did you mean "temperature"\?/],
    ['ways: []', /ways: must be a list of at least 1 value/],
    ['n: 1\nways:\n  - temperature: 1', /n: must be at least 2/],
  ])('%j is refused', (text, message) => {
    expect(() => ways(text)).toThrow(message)
  })

  it("the package's own are valid, and give every dial about as many settings", () => {
    const { ways, settings } = readDiversitySettings('diversity')
    const counts = new Map<string, number>()
    for (const { family } of ways) counts.set(family, (counts.get(family) ?? 0) + 1)
    expect([...counts.keys()]).toEqual([
      'temperature',
      'top-p',
      'min-p',
      'top-k',
      'StochA',
      'StochA and temperature',
    ])
    for (const count of counts.values()) expect(count).toBeGreaterThanOrEqual(5)
    expect(settings).toMatchObject({ n: 32, ignoreEos: true })
  })
})

describe('prompts', () => {
  const file = (name: string, text: string) => {
    fs.writeFileSync(path.join(work, name), text)
    return path.join(work, name)
  }

  it('are lines of a text, or JSON lines with answers', () => {
    expect(readPrompts(file('a.txt', 'The \r\n\nOnce upon\n'))).toEqual([
      { prompt: 'The ' },
      { prompt: 'Once upon' },
    ])
    const lines = '{"prompt": "1+1=", "answers": ["2"]}\n{"prompt": "2+2=", "answers": ["4", "four"]}\n'
    expect(readPrompts(file('b.jsonl', lines))).toEqual([
      { prompt: '1+1=', answers: ['2'] },
      { prompt: '2+2=', answers: ['4', 'four'] },
    ])
  })

  it.each([
    ['c.txt', '\n \n', /c\.txt has no prompt/],
    ['d.jsonl', '{"prompt": "x"}\n{"promt": "y"}', /d\.jsonl:2: prompt: is missing/],
    ['e.jsonl', '{"prompt": "x"}\nhello', /e\.jsonl:2: is not JSON/],
    [
      'f.jsonl',
      '{"prompt": "x", "answers": ["1"]}\n{"prompt": "y"}',
      /f\.jsonl: some prompts have answers and prompt 2 has none/,
    ],
  ])('%s is refused', (name, text, message) => {
    expect(() => readPrompts(file(name, text))).toThrow(message)
  })

  it('a file that is not there is named', () => {
    expect(() => readPrompts(path.join(work, 'none.txt'))).toThrow(/none\.txt does not exist/)
  })
})

describe('at the same quality', () => {
  it('lies between the two points around it', () => {
    const points = [
      { x: 3, y: 30 },
      { x: 1, y: 10 },
      { x: 2, y: 40 },
    ]
    expect(interpolated(points, 1.5)).toBe(25)
    expect(interpolated(points, 2.75)).toBe(32.5)
    expect([interpolated(points, 0.9), interpolated(points, 3.1)]).toEqual([null, null])
  })

  /** A way whose likelihood and Vendi score are these on average, and differ from prompt to prompt in the same way for all. */
  const way = (label: string, family: string, likelihood: number, vendi: number): ComparedWay => {
    const shifts = [-0.2, 0.1, 0.3, -0.2]
    return {
      ...{ label, family },
      perPrompt: {
        likelihood: shifts.map(shift => likelihood + shift),
        vendi: shifts.map(shift => vendi + 5 * shift),
      },
    }
  }
  // Vendi = 2 − 4 · likelihood along the temperatures.
  const temperatures = [
    way('T 0.5', 'temperature', -1, 6),
    way('T 1', 'temperature', -2, 10),
    way('T 2', 'temperature', -4, 18),
  ]

  it('the difference is to the curve, in every resampling of the prompts', () => {
    const [result] = compareAtSameQuality([...temperatures, way('p 0.3', 'StochA', -3, 15)], ['vendi'])
    expect(result).toMatchObject({ way: 'p 0.3', family: 'temperature', measure: 'vendi' })
    expect(result.likelihood).toBeCloseTo(-3, 12)
    expect(result.difference).toBeCloseTo(1, 10)
    expect(result.interval?.low).toBeCloseTo(1, 10)
    expect(result.interval?.high).toBeCloseTo(1, 10)
  })

  it('is none outside the curve, and none beside a single way', () => {
    const [outside] = compareAtSameQuality([...temperatures, way('p 0.9', 'StochA', -9, 3)], ['vendi'])
    expect([outside.difference, outside.interval]).toEqual([null, null])
    expect(compareAtSameQuality([temperatures[0], way('p 0.3', 'StochA', -1, 3)], ['vendi'])).toEqual([])
  })
})
