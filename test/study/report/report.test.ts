// The report: true to the results, one self-contained page, and safe with whatever a model wrote.

import { createHash } from 'node:crypto'
import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { fixed, loss, perplexity, signed } from '../../../src/report/numbers.js'
import { lossCaption } from '../../../src/study/report/figures/loss.js'
import { findings, largeModelLimit } from '../../../src/study/report/findings.js'
import { renderMarkdown, renderTable } from '../../../src/study/report/index.js'
import { renderStudyPage as renderReport } from '../../../src/study/report/page.js'
import { summarize } from '../../../src/study/report/summary.js'
import type { StudyResults } from '../../../src/study/results.js'
import { MACHINE, madeResults } from './fixture.js'

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

  it('needs nothing from elsewhere and runs its own script alone', () => {
    const html = renderReport(results)
    const urls = [...html.matchAll(/https?:\/\/[^\s"'<)]+/g)].map(match => match[0])
    expect(urls.filter(url => !url.startsWith('http://www.w3.org/'))).toEqual([])
    expect(document.querySelectorAll('iframe, object, embed, link[href], img[src^="http"]').length).toBe(0)
    const scripts = [...document.querySelectorAll('script:not([type="application/json"])')]
    expect(scripts.length).toBe(1)
    expect(scripts[0].getAttribute('src')).toBeNull()
    const hash = createHash('sha256').update(scripts[0].textContent).digest('base64')
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1]
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain(`script-src 'sha256-${hash}';`)
  })

  it('holds all results, and the values of every figure, as data that cannot leave its element', () => {
    const hostile = { ...results, title: '</script><script>alert(1)</script> & <!--' }
    const data = page(hostile).querySelector('#page-data')?.textContent ?? ''
    expect(data).not.toContain('<')
    expect(JSON.parse(data)).toEqual(hostile)
    const csv = JSON.parse(document.querySelector('#loss-whole-data')?.textContent ?? '')
    const { name, seed, evaluations } = results.runs[2]
    expect(csv.columns).toEqual(['run', 'seed', 'step', 'kind', 'loss'])
    expect(csv.rows).toContainEqual([name, seed, evaluations[3].step, 'validation', evaluations[3].loss])
    for (const button of document.querySelectorAll('button[data-csv]')) {
      const { columns, rows } = JSON.parse(
        document.querySelector(`#${button.getAttribute('data-csv')}`)?.textContent ?? '',
      )
      expect(rows.length).toBeGreaterThan(0)
      for (const row of rows) expect(row.length).toBe(columns.length)
    }
    expect(document.querySelectorAll('button[data-csv]').length).toBe(
      document.querySelectorAll('figure:not(.sample)').length,
    )
  })

  it('has a button for each line of a figure, and a value for each of its points', () => {
    const figure = document.querySelector('#loss-whole')
    const { label, evaluations } = results.runs[1]
    expect(figure?.querySelector('[data-series="1"]')?.textContent).toContain(label)
    const titles = [...(figure?.querySelectorAll('.wide .series-1 title') ?? [])].map(
      title => title.textContent,
    )
    const last = evaluations[evaluations.length - 1]
    expect(titles).toContain(`${label}, step ${last.step}: ${digits(last.loss)}`)
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
    const perSeed = finals.map((final, seed) => ({ seed: seed + 1, final, evaluations: run.evaluations }))
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

describe('claims', () => {
  const [silu, relu, swift, stocha] = results.runs
  const ratioOf = (low: number, high: number, confidence = 0.96) => ({
    median: (low + high) / 2,
    low,
    high,
    confidence,
  })
  const withRatio = (run: typeof relu, low: number, high: number, confidence?: number) => ({
    ...run,
    speed: [{ ...run.speed[0], ratio: ratioOf(low, high, confidence) }],
  })
  const sentences = (...runs: StudyResults['runs']) => findings({ ...results, runs }).join('\n')
  const marked = (runs: StudyResults['runs'], title: string) =>
    [...summarize({ ...results, runs }).quality, ...summarize({ ...results, runs }).speed]
      .filter(column => column.title === title)
      .flatMap(({ cells }) => cells.flatMap(({ best }, i) => (best ? [runs[i].name] : [])))

  it('of speed hold for all models that were measured, not for the fastest pass', () => {
    const text = sentences(
      silu,
      withRatio(relu, 1.3, 1.4),
      withRatio(swift, 0.3, 0.4),
      withRatio(stocha, 0.9, 2.4),
    )
    expect(text).toContain(
      'Skipping zeros, f32: decoding is 1.35× (1.30–1.40) as fast for ReLU, only 0.35× (0.30–0.40) as fast for Swi+FT, ' +
        'no different beyond noise for StochA → ReLU.',
    )
  })

  it('of speed need enough passes', () => {
    expect(sentences(withRatio(relu, 1.3, 1.4, 0.75))).toContain('no different beyond noise for ReLU')
    expect(marked([withRatio(relu, 1.3, 1.4, 0.75), withRatio(swift, 0.9, 1)], 'ratio')).toEqual([])
  })

  it('mark a ratio as the best only where its interval lies apart', () => {
    expect(marked([withRatio(relu, 1.3, 1.4), withRatio(swift, 1.39, 1.5)], 'ratio')).toEqual([])
    expect(marked([withRatio(relu, 1.3, 1.4), withRatio(swift, 1.41, 1.5)], 'ratio')).toEqual(['swift'])
    const tied = [withRatio(relu, 1.3, 1.4), withRatio(swift, 1.41, 1.5), withRatio(stocha, 1.45, 1.5)]
    expect(marked(tied, 'ratio')).toEqual(['swift', 'stocha'])
    expect(marked([withRatio(relu, 0.7, 0.75), withRatio(swift, 0.8, 0.9)], 'ratio')).toEqual([])
  })

  it('of loss are not made from one seed', () => {
    expect(sentences(...results.runs)).toContain('Each run has one seed')
    for (const title of ['validation loss', 'perplexity', 'bits per byte', 'sparsity', 'training tokens/s']) {
      expect(marked(results.runs, title)).toEqual([])
    }
  })

  it('of loss compare seed by seed', () => {
    const seeded = (run: typeof relu, losses: number[]) => ({
      ...run,
      final: { ...run.final, loss: losses.reduce((sum, one) => sum + one, 0) / losses.length },
      perSeed: losses.map((loss, i) => ({ seed: i + 1, final: { ...run.final, loss }, evaluations: [] })),
    })
    // Seeds differ by 0.2, runs by 0.05 with little scatter: Student's interval of the difference, 0.05 ± 0.012, is above 0.
    const [a, b] = [seeded(relu, [2.1, 2.3, 2.5]), seeded(swift, [2.15, 2.355, 2.545])]
    expect(marked([a, b], 'validation loss')).toEqual(['relu'])
    expect(sentences(a, b)).toContain('a difference beyond the noise of seeds')
    const c = seeded(stocha, [2.2, 2.25, 2.6])
    expect(marked([a, c], 'validation loss')).toEqual([])
    expect(sentences(a, c)).toContain('over 3 seeds it cannot be told from StochA → ReLU')
  })

  it('of captions are what was measured', () => {
    const before = { ...swift.evaluations[0], step: 700, loss: 3.1, activation: 'silu' }
    const after = { ...before, step: 750, loss: 3.05, activation: 'relu' }
    const run = { ...swift, switchStep: 720, evaluations: [before, after] }
    expect(lossCaption([run], 'whole')).toContain(
      'Swi+FT falls from 3.100 (step 700, measured with silu) to 3.050 (step 750, relu)',
    )
    expect(lossCaption([{ ...run, evaluations: [before, { ...after, loss: 3.4 }] }], 'whole')).toContain(
      'Swi+FT rises from 3.100',
    )
    expect(lossCaption([run], 'whole')).not.toContain('jump')
    const end = { ...after, tokens: 16_384 }
    const apart = { ...run, evaluations: [end], final: { ...end, loss: 3.08, tokens: 131_072 } }
    expect(lossCaption([apart], 'end')).toContain('16,384 held-out tokens and the table on 131,072')
    expect(lossCaption([apart], 'end')).toContain('by up to 0.030')
    expect(lossCaption([{ ...apart, final: end }], 'end')).toBe('The end of training, enlarged.')
  })

  it('of a machine stand with the runs that were measured there', () => {
    const other = { ...MACHINE, cpu: 'Another CPU', isa: 'avx2' }
    const moved = { ...results, runs: [silu, { ...relu, machines: { training: [other], measuring: other } }] }
    const text = renderMarkdown(moved)
    expect(text).toMatch(/SiLU on Intel.*ReLU on Another CPU/)
    expect(renderMarkdown(results)).not.toContain('different machines')
  })
})

it('a loss that is huge or no number is printed as such', () => {
  expect(loss(27_602_742_402_181_256)).toBe('2.76e16')
  expect(perplexity(Number.POSITIVE_INFINITY)).toBe('∞')
  expect(perplexity(4.2e12)).toBe('4.20e12')
  expect(loss(Number.NaN)).toBe('not a number')
  expect(signed(-3e9, 3)).toBe('−3.00e9')
  expect(fixed(1_234_567, 0)).toBe('1,234,567')
})

describe('what zeros cost and what they are worth', () => {
  const speed = (denseBytes: number, sparseBytes: number | null) => [
    { dtype: 'bf16' as const, dense: 1, sparse: null, ratio: null, passes: 1, denseBytes, sparseBytes },
  ]
  const measured = () => {
    const results = madeResults()
    const [silu, relu, ...others] = results.runs
    silu.speed = speed(2_000_000, null)
    relu.speed = speed(2_000_000, 1_300_000)
    for (const run of others) run.speed = speed(2_000_000, 1_500_000)
    return results
  }

  it('stands at the top for the sparsest run', () => {
    const results = measured()
    const [relu] = results.runs.slice(1)
    relu.final = { ...relu.final, loss: 2.9, sparsity: [0.9, 0.94] }
    results.runs[0].final = { ...results.runs[0].final, loss: 2.92 }
    const [first] = findings(results)
    expect(first).toContain('Sparsest: ReLU, 92.0\u202F% zeros at \u22120.020 nats per token against SiLU')
    expect(first).toContain('reading 65\u202F% of its bytes per token')
    expect(first).toContain('flicker bench decode --sparsity 0.900,0.940')
  })

  it('counts the bytes of a 1.5 B model: the published shape at 90 % zeros reads 0.62 of them', () => {
    expect(largeModelLimit([0])).toBe(1)
    expect(1 / largeModelLimit([0.9])).toBeCloseTo(0.62, 2)
    expect(largeModelLimit([0.8, 1])).toBeCloseTo(largeModelLimit([0.9]), 12)
  })

  it('is a column of bytes, and one of parameters where runs differ in them', () => {
    const results = measured()
    const cells = (title: string) =>
      summarize(results)
        .quality.find(column => column.title === title)
        ?.cells.map(({ text }) => text)
    expect(cells('bytes per token')?.slice(0, 2)).toEqual(['2.0 MB', '1.3 MB'])
    expect(cells('bytes vs SiLU')?.slice(0, 2)).toEqual(['–', '\u221235.0\u202F%'])
    expect(cells('parameters')).toBeUndefined()
    for (const [i, run] of results.runs.entries()) run.parameters = i === 1 ? 3_000_000 : 2_000_000
    expect(cells('parameters')?.slice(0, 2)).toEqual(['2.0 million', '3.0 million'])
  })
})
