// Speed of makeClassification against scikit-learn's make_classification (Debian's python3-sklearn), 100,000 samples
// of 30 features. Run: `npm run build && node bench/make-classification.mjs [--json] [--python PATH] [--runs N]`.

import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const SAMPLES = 100_000
const FEATURES = 30
const INFORMATIVE = [2, 15, 26]
const SEED = 42
/** Set in the project's plan: not slower than scikit-learn. */
const RATIO_LIMIT = 1

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    python: { type: 'string', default: '/usr/bin/python3' },
    runs: { type: 'string', default: '9' },
    build: { type: 'string', default: 'dist' },
  },
})
const runs = Number(values.runs)
if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs takes an integer, not ${values.runs}`)
const { makeClassification } = await import(
  pathToFileURL(resolve(values.build, 'lab/data/make-classification.js')).href
)

const problems = INFORMATIVE.map(nInformative => {
  const options = { nSamples: SAMPLES, nFeatures: FEATURES, nInformative, randomState: SEED }
  let made = makeClassification(options)
  const seconds = Array.from({ length: runs }, () => {
    const start = performance.now()
    made = makeClassification(options)
    return (performance.now() - start) / 1e3
  })
  const peer = scikitLearn(nInformative)
  return {
    nInformative,
    seconds: median(seconds),
    scikitLearnSeconds: peer && median(peer.seconds),
    ratio: peer && median(seconds) / median(peer.seconds),
    sameNumbers: peer && agrees(made, peer),
    versions: peer?.versions,
  }
})

const result = {
  machine: `${cpus()[0].model}, ${cpus().length} cores`,
  node: process.version,
  samples: SAMPLES,
  features: FEATURES,
  runs,
  ratioLimit: RATIO_LIMIT,
  problems,
}
if (values.json) {
  console.log(JSON.stringify(result))
} else {
  console.log(`${result.machine}, Node ${result.node}; ${SAMPLES} × ${FEATURES}, median of ${runs}`)
  for (const { nInformative, seconds, scikitLearnSeconds, ratio, sameNumbers, versions } of problems) {
    const ours = `${nInformative} informative  ${(seconds * 1e3).toFixed(0)} ms`
    const theirs =
      scikitLearnSeconds === null
        ? `scikit-learn is not installed for ${values.python}`
        : `scikit-learn ${versions['scikit-learn']} ${(scikitLearnSeconds * 1e3).toFixed(0)} ms  ` +
          `ratio ${ratio.toFixed(2)}, limit ${RATIO_LIMIT}; numbers ${sameNumbers ? 'agree' : 'DIFFER'}`
    console.log(`${ours}  ${theirs}`)
  }
}

/** What the Python script beside measures, or null when scikit-learn is not there. */
function scikitLearn(nInformative) {
  const script = resolve(import.meta.dirname, 'peers/sklearn_make_classification.py')
  const given = [script, SAMPLES, FEATURES, nInformative, SEED, runs].map(String)
  const { status, stdout } = spawnSync(values.python, given, { encoding: 'utf8' })
  return status === 0 ? JSON.parse(stdout) : null
}

function agrees({ x, y, features }, peer) {
  const sums = new Float64Array(features)
  for (let i = 0; i < x.length; i++) sums[i % features] += x[i]
  const same = peer.columnSums.every((sum, j) => Math.abs(sum - sums[j]) < 1e-7 * Math.max(1, Math.abs(sum)))
  return same && y.reduce((sum, label) => sum + label, 0) === peer.labelSum
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]
}
