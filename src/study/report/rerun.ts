// How to get these numbers again: the command, the recipe, the version and the machine.

import { html, type Markup } from '../../report/markup.js'
import { duration } from '../../report/numbers.js'
import { visibleLine } from '../../report/visible-text.js'
import type { StudyResults } from '../results.js'
import { date, machinesOf, seedsOf } from './summary.js'

/** The command that repeats the study, for a shell. */
export function rerunCommand({ name, recipe }: StudyResults): string {
  const file = `${recipe === undefined ? 'recipes/' : ''}${visibleLine(name)}.yaml`
  return `flicker study ${/^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`} --fresh`
}

/** Versions and machine, as pairs of name and value. */
export function rerunFacts(results: StudyResults): [string, string][] {
  const { runs, training } = results
  const places = machinesOf(runs)
  const seconds = runs.reduce((sum, run) => sum + run.trainSeconds * (run.perSeed?.length ?? 1), 0)
  return [
    ...places.map(({ machine, labels }): [string, string] => [
      places.length === 1 ? 'Machine' : `Machine of ${labels.join(', ')}`,
      machine,
    ]),
    ['Seeds', seedsOf(runs).join(', ')],
    ['Peak learning rate', String(training.learningRate)],
    ['Training, all runs', duration(seconds)],
    ['Finished', date(results.finishedAt)],
  ]
}

export function rerun(results: StudyResults): Markup {
  const { name, recipe } = results
  return html`${
    recipe !== undefined &&
    html`<p>Save the recipe below as <code>${visibleLine(name)}.yaml</code>, then:</p>`
  }
<pre>${rerunCommand(results)}</pre>
<dl class="facts">${rerunFacts(results).map(([key, value]) => html`<dt>${key}</dt><dd>${visibleLine(value)}</dd>`)}</dl>
<p class="note">With the same kernels, instruction set and seeds, losses and texts are the same to the bit; speeds are medians of alternating passes and belong to the machine. All numbers behind the figures: results.json, beside this file.</p>
${recipe !== undefined && html`<details><summary>The recipe</summary><pre>${recipe}</pre></details>`}`
}
