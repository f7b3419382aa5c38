// The report: true to the results, one self-contained page, and safe with whatever a model wrote.

import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { renderMarkdown, renderTable } from '../../../src/study/report/index.js'
import { renderStudyPage as renderReport } from '../../../src/study/report/page.js'
import type { StudyResults } from '../../../src/study/results.js'
import { madeResults } from './fixture.js'

const results = madeResults()
const page = (of: StudyResults) => parseHTML(renderReport(of)).document
const digits = (value: number) => value.toFixed(3)

/** The results with their first run's samples replaced. */
function withSample(text: string): StudyResults {
  const [first, ...rest] = results.runs
  const samples = first.samples.map(sample => ({ ...sample, text, prompt: text }))
  return { ...results, runs: [{ ...first, samples }, ...rest] }
}

describe('the page', () => {
  const document = page(results)

  it('needs nothing from elsewhere and runs nothing', () => {
    const html = renderReport(results)
    const urls = [...html.matchAll(/https?:\/\/[^\s"'<)]+/g)].map(match => match[0])
    expect(urls.filter(url => !url.startsWith('http://www.w3.org/'))).toEqual([])
    expect(
      document.querySelectorAll('script, iframe, object, embed, link[href], img[src^="http"]').length,
    ).toBe(0)
    expect(html).toMatch(/http-equiv="Content-Security-Policy"[^>]*default-src 'none'/)
  })

  it('fits a phone, and knows light and dark', () => {
    expect(document.querySelector('meta[name="viewport"]')?.getAttribute('content')).toContain(
      'width=device-width',
    )
    expect(renderReport(results)).toMatch(/prefers-color-scheme:\s*dark/)
  })

  it('shows every run in every figure, with a description for those who cannot see it', () => {
    const figures = [...document.querySelectorAll('figure')]
    expect(figures.length).toBeGreaterThanOrEqual(5)
    for (const svg of document.querySelectorAll('figure svg[role="img"]')) {
      expect(svg.getAttribute('aria-label')?.length ?? 0).toBeGreaterThan(5)
    }
    for (const { label } of results.runs) {
      expect(figures.filter(figure => figure.textContent?.includes(label)).length).toBeGreaterThanOrEqual(4)
    }
  })

  it('marks the switch at its step', () => {
    const { switchStep } = results.runs.find(run => run.switchStep !== null) ?? {}
    expect(document.body.textContent).toContain(`switch at ${switchStep}`)
  })

  it('prints the numbers of the results', () => {
    const rows = [...document.querySelectorAll('table tbody tr')].map(row => row.textContent ?? '')
    for (const { label, final } of results.runs) {
      const row = rows.find(text => text.includes(label))
      expect(row).toContain(digits(final.loss))
      expect(row).toContain(digits(final.bitsPerByte))
    }
  })

  const hostile = [
    '</script><script>alert(1)</script>',
    '</pre><img src=x onerror=alert(1)>',
    '"><svg onload=alert(1)>',
    '&lt;b&gt; &amp; <b>',
  ]
  for (const text of hostile) {
    it(`shows ${text} as text`, () => {
      const shown = page(withSample(text))
      expect(shown.querySelectorAll('script, img, [onload], [onerror], b').length).toBe(
        document.querySelectorAll('script, img, [onload], [onerror], b').length,
      )
      expect(shown.body.textContent).toContain(text)
    })
  }

  it('survives emoji, control characters, lone surrogates and very long words', () => {
    for (const text of ['🦊🔥', 'a\u0000b\u0007c\u001b[31m', '\ud800 alone', 'x'.repeat(20_000)]) {
      const html = renderReport(withSample(text))
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(html).not.toMatch(/[\u0000\u0007\u001b]/)
      expect(html).not.toMatch(/\p{Surrogate}/u)
    }
  })

  it('renders one run, many runs, no speeds, no curve and long labels', () => {
    const [first, ...rest] = results.runs
    const bare = { ...first, curve: [], evaluations: [], speed: [], samples: [] }
    const long = {
      ...first,
      name: 'long',
      label: 'A label that is much longer than anybody would wish for, and then some',
    }
    const many = Array.from({ length: 8 }, (_, i) => ({
      ...results.runs[i % 4],
      name: `r${i}`,
      label: `Run ${i}`,
    }))
    for (const runs of [[first], [bare], [first, bare, ...rest], [first, long], many]) {
      const variant = { ...results, runs }
      for (const text of [renderReport(variant), renderMarkdown(variant), renderTable(variant)]) {
        for (const run of runs) expect(text.replaceAll(/\s+/g, ' ')).toContain(run.label.split(',')[0])
        expect(/.{0,40}(?:NaN|Infinity|>undefined<).{0,40}/.exec(text)?.[0]).toBeUndefined()
      }
    }
  })
})

describe('a study of many runs over seeds', () => {
  const runs = Array.from({ length: 40 }, (_, i) => {
    const run = results.runs[i % 4]
    const finals = [0.02, -0.01, -0.01].map(shift => ({ ...run.final, loss: run.final.loss + shift }))
    const perSeed = finals.map((final, seed) => ({ seed: seed + 1, final }))
    return { ...run, name: `r${i}`, label: `act ${i}`, samples: [], perSeed }
  })
  const many = { ...results, runs }

  it('ranks them instead of drawing forty lines', () => {
    const document = page(many)
    expect(document.querySelector('#loss-ranking')).not.toBeNull()
    expect(document.querySelector('#loss-whole')).toBeNull()
    expect(document.querySelector('#samples')).toBeNull()
    for (const link of document.querySelectorAll('nav a')) {
      expect(document.querySelector(link.getAttribute('href') ?? '')).not.toBeNull()
    }
    for (const { label } of runs)
      expect(document.querySelector('#loss-ranking')?.textContent).toContain(label)
  })

  it('says how far the loss moves between seeds', () => {
    // 0.02, −0.01, −0.01 around their mean: √((4 + 1 + 1)·1e-4 / 2) = 0.0173.
    for (const text of [renderReport(many), renderMarkdown(many), renderTable(many)]) {
      expect(text).toContain('± 0.017')
    }
    expect(renderMarkdown(many)).toContain('seeds 1, 2, 3')
  })
})

describe('Markdown and the console table', () => {
  it('hold the same numbers', () => {
    for (const text of [renderMarkdown(results), renderTable(results)]) {
      for (const { label, final } of results.runs) {
        const line = text
          .split('\n')
          .find(candidate => candidate.includes(label) && candidate.includes(digits(final.loss)))
        expect(line, `${label} in ${text}`).toBeDefined()
      }
    }
  })

  it('the table keeps to its width, and colors only when asked', () => {
    for (const width of [80, 100, 140]) {
      for (const line of renderTable(results, { width }).split('\n'))
        expect(line.length).toBeLessThanOrEqual(width)
    }
    expect(renderTable(results)).not.toContain('\u001b[')
    expect(renderTable(results, { color: true })).toContain('\u001b[')
  })

  it('hostile labels break neither tables nor the terminal', () => {
    const [first, ...rest] = results.runs
    const label = 'a|b <i>\u001b[2J'
    const variant = { ...results, runs: [{ ...first, label }, ...rest] }
    expect(renderTable(variant)).not.toContain('\u001b[2J')
    const columns = (line: string) => line.replaceAll('\\|', '').split('|').length
    const rows = renderMarkdown(variant)
      .split('\n')
      .filter(line => line.startsWith('|'))
    const first80 = rows.slice(0, 3).map(columns)
    expect(new Set(first80).size).toBe(1)
  })
})
