// What the models wrote: one text with the largest logits, and one per seed with the activation drawn.

import { swatch } from '../../report/legend.js'
import { html, type Markup } from '../../report/markup.js'
import { fixed } from '../../report/numbers.js'
import { visibleLine } from '../../report/visible-text.js'
import type { RunResult, Sample } from '../results.js'
import { describeSample } from './summary.js'

/** Longer samples are folded. */
const FOLD_FROM = 900
const PREVIEW = 90

export function samplesOf(run: RunResult, index: number): Markup {
  const greedy = run.samples.find(sample => sample.kind === 'greedy')
  return html`<h3>${swatch(index, `sample-key-${index}`)} ${visibleLine(run.label)}</h3>
<div class="samples">${
    run.samples.length === 0
      ? html`<p class="note">No samples were taken.</p>`
      : run.samples.map(sample => one(sample, greedy))
  }</div>`
}

function one(sample: Sample, greedy: Sample | undefined): Markup {
  const shared =
    sample === greedy || greedy === undefined || greedy.prompt !== sample.prompt
      ? 0
      : sharedStart(sample.text, greedy.text)
  const text = html`<pre dir="auto"><span class="prompt">${sample.prompt}</span>${
    shared > 0 && html`<span class="shared">${sample.text.slice(0, shared)}</span>`
  }${sample.text.slice(shared)}</pre>`
  const { length } = sample.text
  return html`<figure class="sample"><figcaption>${describeSample(sample)}</figcaption>${
    length <= FOLD_FROM
      ? text
      : html`<details><summary>${visibleLine(sample.prompt + sample.text.slice(0, PREVIEW))}… (${fixed(length, 0)} characters)</summary>${text}</details>`
  }</figure>\n`
}

/** Length of the common prefix of two samples, never inside a surrogate pair. */
function sharedStart(a: string, b: string): number {
  let i = 0
  while (i < a.length && i < b.length && a[i] === b[i]) i++
  const last = a.charCodeAt(i - 1)
  return last >= 0xd800 && last <= 0xdbff ? i - 1 : i
}
