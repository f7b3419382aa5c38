// The board in Chromium: 20 runs of 10,000 steps, the time until a page that is opened shows all of them, and the delay from a line
// that a training appends to the page that shows it. Run after `npm run build` and `npm run build:web`:
//   node bench/board.mjs [--runs 20] [--steps 10000] [--rounds 5] [--pictures DIRECTORY] [--json]
//
// --pictures: also writes pictures of the page, on a desk and on a phone, light and dark;
// FLICKER_CHROMIUM names another than /usr/bin/chromium

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

/** Targets, milliseconds. */
const OPEN_MS = 2000
const FOLLOW_MS = 1000
const LAYERS = 12
const EVERY = 250

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '20' },
    steps: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    pictures: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const runs = Number(options.runs)
const steps = Number(options.steps)
const rounds = Number(options.rounds)
const median = values => values.toSorted((a, b) => a - b)[values.length >> 1]
const main = path.resolve(import.meta.dirname, '..', 'dist', 'cli', 'main.js')

const directory = fs.mkdtempSync(path.join(tmpdir(), 'flicker-board-'))
const strategies = [
  { strategy: 'silu' },
  { strategy: 'relu' },
  { strategy: 'swift', alpha: 0.1 },
  { strategy: 'stocha', p: 0.3 },
]
for (let i = 0; i < runs; i++) writeRun(i)

function runName(i) {
  return `${strategies[i % strategies.length].strategy}-${i}`
}

function stepLine(i, step) {
  const noise = Math.sin(12.9898 * step + 78.233 * i)
  const loss = 2 + 0.05 * (i % 7) + 6 * Math.exp(-step / 700) + 0.08 * noise
  const activation = i % 4 === 2 && step > 0.9 * steps ? 'relu' : 'silu'
  const learningRate = 1e-3 * Math.min(step / 200, 1) * (1 - (0.9 * step) / (steps + 200))
  const gradNorm = 0.8 + 0.3 * Math.abs(noise)
  return JSON.stringify({
    kind: 'step',
    step,
    loss,
    learningRate,
    gradNorm,
    activation,
    seconds: 0.05 + 0.01 * noise,
  })
}

function evaluationLine(i, step) {
  const sparsity = Array.from(
    { length: LAYERS },
    (_, layer) => 0.95 - 0.6 * Math.exp((-step - 100 * layer) / 2000),
  )
  const deadNeurons = sparsity.map((_, layer) => Math.round((step * (layer + 1)) / (300 + i)))
  const loss = 2.05 + 0.05 * (i % 7) + 6 * Math.exp(-step / 700)
  return JSON.stringify({
    kind: 'evaluation',
    step,
    loss,
    bitsPerByte: loss / 3,
    sparsity,
    deadNeurons,
    activation: 'relu',
  })
}

function writeRun(i) {
  const run = path.join(directory, 'runs', runName(i))
  fs.mkdirSync(run, { recursive: true })
  const training = { steps: steps + 1000, batchSize: 8, context: 256, accumulate: 1 }
  const content = {
    model: { intermediateSize: 2048 },
    strategy: strategies[i % strategies.length],
    training,
  }
  fs.writeFileSync(path.join(run, 'options.json'), JSON.stringify(content))
  const lines = []
  const samples = []
  for (let step = 1; step <= steps; step++) {
    lines.push(stepLine(i, step))
    if (step % EVERY !== 0) continue
    lines.push(evaluationLine(i, step))
    samples.push(
      JSON.stringify({
        step,
        prompt: 'Once upon a time',
        text: `, at step ${step} of run ${i}, there was a model.`,
      }),
    )
  }
  fs.writeFileSync(path.join(run, 'metrics.jsonl'), `${lines.join('\n')}\n`)
  fs.writeFileSync(path.join(run, 'samples.jsonl'), `${samples.join('\n')}\n`)
}

/** The address of a board of the directory, and what ends it. */
function startBoard() {
  const child = spawn(process.execPath, [main, 'board', directory, '--port', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr.on('data', chunk => {
      said += chunk
      const url = /http:\/\/[^ ]+/.exec(said)?.[0]
      if (url !== undefined) resolve({ url, end: () => child.kill('SIGTERM') })
    })
    child.on('close', code => reject(new Error(`the board ended with ${code}: ${said}`)))
  })
}

/** Resolves, in the page, with its clock once `run`'s row shows `step` (null: every row has steps) and that is painted. */
const shown = `(wanted => new Promise(resolve => {
  const cells = () => [...document.querySelectorAll('.scroll tbody tr')].map(row => [
    row.querySelector('button').textContent,
    Number(row.querySelector('td').textContent.split('/')[0]),
  ])
  const look = () => {
    const all = cells()
    const drawn = document.querySelectorAll('.chart canvas').length >= wanted.charts
    const isShown = wanted.run === null
      ? all.length === wanted.runs && all.every(([, step]) => step >= wanted.step)
      : all.some(([name, step]) => name === wanted.run && step >= wanted.step)
    if (!isShown || !drawn) return requestAnimationFrame(look)
    requestAnimationFrame(() => setTimeout(() => resolve([performance.now(), Date.now()])))
  }
  look()
}))`

const board = await startBoard()
const executablePath = process.env.FLICKER_CHROMIUM || '/usr/bin/chromium'
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
const opened = []
const followed = []
let appended = steps
for (let round = 0; round < rounds; round++) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } })
  await page.goto(board.url, { waitUntil: 'commit' })
  // The clock of a page begins with its navigation.
  const [sinceNavigation] = await page.evaluate(
    `${shown}(${JSON.stringify({ run: null, runs, step: steps, charts: 2 })})`,
  )
  opened.push(sinceNavigation)
  for (let i = 0; i < 6; i++) {
    const run = runName(i % runs)
    appended++
    const wait = page.evaluate(
      `${shown}(${JSON.stringify({ run: `runs/${run}`, step: appended, charts: 0 })})`,
    )
    // Lines come at any point of the interval in which the board looks.
    await new Promise(resolve => setTimeout(resolve, 137 * i))
    const at = Date.now()
    fs.appendFileSync(path.join(directory, 'runs', run, 'metrics.jsonl'), `${stepLine(i % runs, appended)}\n`)
    const [, seen] = await wait
    followed.push(seen - at)
  }
  await page.close()
}

if (options.pictures !== undefined) {
  fs.mkdirSync(options.pictures, { recursive: true })
  for (const colorScheme of ['light', 'dark']) {
    for (const [device, viewport] of [
      ['desk', { width: 1400, height: 900 }],
      ['phone', { width: 390, height: 844 }],
    ]) {
      const page = await browser.newPage({
        viewport,
        colorScheme,
        deviceScaleFactor: device === 'phone' ? 2 : 1,
      })
      const errors = []
      page.on('pageerror', error => errors.push(error.message))
      await page.goto(`${board.url}#run=runs%2F${runName(2)}`)
      await page.evaluate(`${shown}(${JSON.stringify({ run: null, runs, step: steps, charts: 1 })})`)
      // Charts below are drawn when they come into view.
      const height = await page.evaluate('document.documentElement.scrollHeight')
      await page.setViewportSize({ ...viewport, height })
      await new Promise(resolve => setTimeout(resolve, 1500))
      await page.screenshot({
        path: path.join(options.pictures, `board-${device}-${colorScheme}.png`),
        fullPage: true,
      })
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      if (overflow > 0) console.error(`board: the ${device} page is ${overflow} pixels too wide`)
      for (const error of errors) console.error(`board: ${error}`)
      await page.close()
    }
  }
}

const version = browser.version()
await browser.close()
board.end()
fs.rmSync(directory, { recursive: true })
const result = {
  cpu: cpus()[0]?.model,
  node: process.version,
  chromium: version,
  runs,
  steps,
  openMs: median(opened),
  openSlowestMs: Math.max(...opened),
  followMs: median(followed),
  followSlowestMs: Math.max(...followed),
}
if (options.json) console.log(JSON.stringify(result, null, 2))
else {
  const { cpu, node, openMs, openSlowestMs, followMs, followSlowestMs } = result
  console.log(`${cpu}, Node ${node}, Chromium ${version}; ${runs} runs of ${steps} steps, ${rounds} pages`)
  console.log(`open: ${openMs.toFixed(0)} ms, slowest ${openSlowestMs.toFixed(0)} (target ${OPEN_MS})`)
  console.log(
    `a new line is shown after ${followMs.toFixed(0)} ms, slowest ${followSlowestMs.toFixed(0)} (target ${FOLLOW_MS})`,
  )
}
