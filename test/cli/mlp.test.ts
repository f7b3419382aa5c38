// `flicker mlp` as a user types it.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { splitSpecs } from '../../src/cli/options.js'
import type { LabResults } from '../../src/lab/index.js'
import { temporaryDirectories } from '../data/temporary.js'
import { flicker, start } from './run.js'

const directory = temporaryDirectories()
const QUICK = ['--n-samples', '200', '--n-features', '6', '--epochs', '2', '--n-runs', '2']

/** results.json without what depends on time and machine. */
function numbers(text: string): unknown {
  const { variants } = JSON.parse(text) as LabResults
  return variants.map(({ name, runs }) => ({ name, runs: runs.map(({ seconds: _, ...run }) => run) }))
}

describe('flicker mlp', () => {
  it('prints a table, and with --plots writes every figure as SVG and PNG, and a page', async () => {
    const cwd = directory({})
    const { code, stdout, stderr } = await flicker(
      ['mlp', ...QUICK, '--activations', 'relu', 'learnable_stoch', '--plots'],
      { cwd },
    )
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/relu +\d\.\d{3} ± \d\.\d{3}/)
    expect(fs.readdirSync(path.join(cwd, 'runs/mlp')).sort()).toEqual([
      'plots',
      'report.html',
      'results.csv',
      'results.json',
      'runs',
    ])
    const figures = [
      'train_loss',
      'val_loss',
      'accuracy',
      'sparsity',
      'final_loss',
      'gate_weights_learnable_stoch',
    ]
    expect(fs.readdirSync(path.join(cwd, 'runs/mlp/plots')).sort()).toEqual(
      figures.flatMap(name => [`${name}.png`, `${name}.svg`]).sort(),
    )
  })

  it('takes underscores for dashes, and --json prints the results alone', async () => {
    const cwd = directory({})
    const dashed = await flicker(['mlp', ...QUICK, '--activations', 'silu', '--json', '--out', 'a'], { cwd })
    const under = QUICK.map(arg => arg.replaceAll('-', '_').replace(/^__/, '--'))
    expect(under[0]).toBe('--n_samples')
    const spelled = await flicker(['mlp', ...under, '--activations=silu', '--json', '--out', 'b'], { cwd })
    expect(spelled.code).toBe(0)
    expect(numbers(spelled.stdout)).toEqual(numbers(dashed.stdout))
  })

  it('names runs that diverged, and fails when none is left', async () => {
    const cwd = directory({})
    const args = ['mlp', ...QUICK, '--activations', 'silu']
    const { code, stdout, stderr } = await flicker([...args, '--lr', '1e3', '--epochs', '3'], { cwd })
    expect(code).toBe(1)
    expect(stdout).toMatch(/silu +2 of 2 diverged +2 of 2 diverged/)
    expect(stdout).not.toMatch(/\d{4}/)
    expect(stderr).toContain('silu: 2 of 2 runs diverged')
    expect(stderr).toContain('Try a smaller learning rate (now 1000) [LAB_DIVERGED]')
  })

  it('runs a recipe, flags in place of its values', async () => {
    const cwd = directory({
      'mine.yaml':
        'nSamples: 200\nnFeatures: 6\nepochs: 50\nvariants: [{name: a, activation: relu, label: The one}]\n',
    })
    const { code, stdout, stderr } = await flicker(['mlp', 'mine.yaml', '--epochs', '2', '--n-runs', '1'], {
      cwd,
    })
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('The one')
    const results = JSON.parse(
      fs.readFileSync(path.join(cwd, 'runs/mine/results.json'), 'utf8'),
    ) as LabResults
    expect(results.variants[0].runs[0].trainLoss.length).toBe(2)
  })

  it('trains with an activation from a file of the user, in every worker', async () => {
    const cwd = directory({
      'mine.mjs': 'export default ({ x, mul, sigmoid }) => ({ name: "mine", value: mul(x, sigmoid(x)) })',
    })
    const { code, stdout, stderr } = await flicker(
      ['mlp', ...QUICK, '--n-runs', '3', '--activations', './mine.mjs,silu', '--allow-code', '--json'],
      { cwd },
    )
    expect(code, stderr).toBe(0)
    const [mine, silu] = (JSON.parse(stdout) as LabResults).variants
    for (const [i, run] of mine.runs.entries()) {
      for (const [epoch, loss] of run.trainLoss.entries())
        expect(loss).toBeCloseTo(silu.runs[i].trainLoss[epoch], 4)
    }
  })

  it('saves on Ctrl-C, exits with 130, and goes on when it is called again', async () => {
    const cwd = directory({})
    const args = [
      'mlp',
      '--n-samples',
      '300',
      '--n-features',
      '6',
      '--epochs',
      '600',
      '--activations',
      'silu',
    ]
    const all = [...args, '--n-runs', '6', '--n-workers', '1', '--out', 'out']
    const { child, finished } = start(all, { cwd })
    // Once a run is on disk.
    const runs = path.join(cwd, 'out/runs')
    for (
      let i = 0;
      i < 600 && !(fs.existsSync(runs) && fs.readdirSync(runs).some(name => name.endsWith('.json')));
      i++
    )
      await new Promise(resolve => setTimeout(resolve, 20))
    child.kill('SIGINT')
    const { code, stderr } = await finished
    expect(code, stderr).toBe(130)
    expect(stderr).toContain('finished runs are kept')
    const kept = fs.readdirSync(runs).filter(name => name.endsWith('.json')).length
    const again = await flicker(all, { cwd })
    expect(again.code).toBe(0)
    expect(again.stderr).toContain(`${kept} of 6 runs were finished before`)
    const whole = await flicker([...args, '--n-runs', '6', '--out', 'whole'], { cwd })
    expect(whole.code).toBe(0)
    const read = (name: string) => numbers(fs.readFileSync(path.join(cwd, name, 'results.json'), 'utf8'))
    expect(read('out')).toEqual(read('whole'))
  })

  it('refuses bad input with one line and exit code 2', async () => {
    const cwd = directory({})
    const cases: [string[], RegExp][] = [
      [['--activations', 'rellu'], /no activation "rellu".*relu/],
      [
        ['--n-features', '3'],
        /--n-informative 2 \+ --n-redundant 2 \+ --n-repeated 0 = 4, and --n-features is 3/,
      ],
      [['--epochs', '0'], /--epochs/],
      [['--p', '1.5'], /--p/],
      [['--data', 'nowhere.csv'], /nowhere\.csv does not exist/],
      [['--optimizer', 'lion'], /adam/],
      [['nowhere.yaml'], /nowhere\.yaml.*blog/],
      [['--activations', 'relu', 'relu'], /"relu" is asked for twice/],
    ]
    const finished = await Promise.all(cases.map(([args]) => flicker(['mlp', ...args], { cwd })))
    for (const [i, { code, stderr, stdout }] of finished.entries()) {
      expect(code, stderr).toBe(2)
      expect(stderr).toMatch(cases[i][1])
      expect(stdout).toBe('')
    }
  })

  it('splits lists of activations at spaces, semicolons, and commas that are not their own', () => {
    expect(splitSpecs('relu; silu')).toEqual(['relu', 'silu'])
    expect(splitSpecs(' relu  stocha:p=0.3, positive=silu ')).toEqual(['relu', 'stocha:p=0.3,positive=silu'])
    expect(splitSpecs('relu,silu')).toEqual(['relu', 'silu'])
    expect(splitSpecs('stocha:p=0.3,positive=silu,relu')).toEqual(['stocha:p=0.3,positive=silu', 'relu'])
    expect(splitSpecs('relu,mix:relu@0.3,gelu@0.7,silu')).toEqual(['relu', 'mix:relu@0.3,gelu@0.7', 'silu'])
    expect(splitSpecs('./mine.ts,relu')).toEqual(['./mine.ts', 'relu'])
  })
})
