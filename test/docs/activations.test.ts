// docs/activations.md and its pictures are those of the entries.

import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../src/activations/index.js'
import { activationFigure } from '../../src/gallery/figure.js'
import { catalogPage, pictureFile } from '../../src/gallery/page.js'
import { standaloneSvg, withDarkScheme } from '../../src/report/save-plot.js'

const again = 'made again by `npm run build && npm run flicker -- activations --docs docs`'

it('the page of the catalog is up to date', () => {
  expect(readFileSync('docs/activations.md', 'utf8') === catalogPage(), again).toBe(true)
})

it('every picture is up to date', () => {
  for (const { name, spec } of listActivations()) {
    const file = `docs/${pictureFile(name)}`
    const current = `${withDarkScheme(standaloneSvg(activationFigure(parseActivation(spec))))}\n`
    expect(existsSync(file) && readFileSync(file, 'utf8') === current, `${file}: ${again}`).toBe(true)
  }
})
