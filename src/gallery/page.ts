// docs/activations.md: the whole catalog as a page, made from the entries themselves.

import {
  type ActivationListing,
  type LearnedParameter,
  listActivations,
  parseActivation,
} from '../activations/index.js'

export interface CatalogEntry extends ActivationListing {
  readonly formula: string
  readonly derivativeFormula: string
  readonly surrogate?: string
  readonly draws: boolean
  readonly exactZeros: boolean
  readonly rowwise: boolean
  readonly fused: boolean
  readonly learned: readonly LearnedParameter[]
}

/** Everything that is known of every entry, with settings at their defaults. */
export function catalogEntries(): CatalogEntry[] {
  return listActivations().map(listing => entryOf(listing.spec, listing))
}

/** Everything that is known of the entry that `spec` names. Throws ActivationError. */
export function catalogEntry(spec: string): CatalogEntry {
  const { name } = parseActivation(spec)
  const listing = listActivations().find(one => one.name === name)
  return entryOf(spec, listing)
}

function entryOf(spec: string, listing: ActivationListing | undefined): CatalogEntry {
  const act = parseActivation(spec)
  return {
    name: act.name,
    spec: act.spec,
    character: act.character,
    source: act.source,
    parameters: listing?.parameters ?? [],
    formula: act.formula,
    derivativeFormula: act.derivativeFormula,
    ...(act.surrogate !== undefined && { surrogate: act.surrogate }),
    draws: act.draws,
    exactZeros: act.exactZeros,
    rowwise: act.rowwise,
    fused: (act.fused ?? act.fusedRows) !== undefined,
    learned: act.learned,
  }
}

/** Name of the picture of an entry, beside the page. */
export function pictureFile(name: string): string {
  return `figures/activations/${name.replace(/[^a-z0-9_.-]+/gi, '-')}.svg`
}

/** The page; pictures stand beside it at `pictureFile`. */
export function catalogPage(): string {
  const entries = catalogEntries()
  return `${[
    '# The catalog of activations',
    '<!-- Made by `flicker activations --docs docs`; edit the entries in src/activations, not this page. -->',
    `${entries.length} activations by the names that every command takes: \`--activation NAME\` or ` +
      '`NAME:setting=value,setting=value`. x is the pre-activation of one hidden unit, u a uniform draw in [0, 1), ' +
      'σ the logistic function, Φ and φ the normal distribution and its density, h the number of neurons. The ' +
      'derivative is what the backward pass uses; where it is deliberately not that of the function, the entry says ' +
      'why. Pictures: settings and learned parameters at their defaults, where the entry names no others; entries that look at the whole row are ' +
      'drawn over the row −4 … 4, with the slope of one neuron.',
    'Forms of the FFN (`--ffn`): `gated`, W_down(f(W_gate x) ⊙ W_up x), the default; `plain`, W_down f(W_up x); `drelu`, ' +
      'W_down(ReLU(W_gate x) ⊙ ReLU(W_up x)) (TurboSparse, arXiv 2406.05955); `spark`, whose gate sees the first part of x ' +
      'and whose up projection the rest (Spark Transformer, arXiv 2506.06644).',
    'Not here: VeLU, SL²A and AF-KAN, whose exact formulas we do not know.',
    overview(entries),
    ...entries.map(section),
  ].join('\n\n')}\n`
}

function overview(entries: readonly CatalogEntry[]): string {
  const yes = (value: boolean) => (value ? 'yes' : '')
  return [
    '| name | exact zeros | draws | learned | fused kernel | character |',
    '| --- | --- | --- | --- | --- | --- |',
    ...entries.map(
      e =>
        `| [${e.name}](#${anchor(e.name)}) | ${yes(e.exactZeros)} | ${yes(e.draws)} | ${e.learned.map(p => p.name).join(', ')} | ${yes(e.fused)} | ${cell(e.character)} |`,
    ),
  ].join('\n')
}

function section(entry: CatalogEntry): string {
  const facts = [
    `- f(x) = \`${entry.formula}\``,
    `- f′(x) = \`${entry.derivativeFormula}\`${entry.surrogate === undefined ? '' : ` (not the derivative of f: ${entry.surrogate})`}`,
    ...entry.parameters.map(p => `- \`${p.name}\`: ${p.about}; ${p.allowed}`),
    ...entry.learned.map(
      p =>
        `- learned \`${p.name}\`, one per ${p.per}, starting at ${startText(p.start)}${pictureText(p)}: ${p.about}`,
    ),
    `- Source: ${entry.source}`,
  ]
  return [
    `## ${entry.name}`,
    `${entry.character.charAt(0).toUpperCase()}${entry.character.slice(1)}. As typed, with its defaults: \`${entry.spec}\`.`,
    `![${entry.name}: f and its slope](${pictureFile(entry.name)})`,
    facts.join('\n'),
  ].join('\n\n')
}

function pictureText({ pictured }: LearnedParameter): string {
  return pictured === undefined ? '' : ` (in the picture: ${pictured.join(', ')})`
}

function startText(start: readonly number[]): string {
  const text = start.map(value => String(Number(value.toPrecision(4))))
  return text.length <= 4 ? text.join(', ') : `${text.slice(0, 3).join(', ')}, … (${text.length} numbers)`
}

function anchor(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9_-]+/g, '')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
