// What is shown, kept in the page's address: a link shows the same to others.

export interface View {
  /** Names of runs that are not shown. */
  readonly hidden: readonly string[]
  /** Exponential smoothing of the training's curves, from 0 to 1. */
  readonly smoothing: number
  readonly logY: boolean
  readonly logX: boolean
  readonly x: 'step' | 'tokens' | 'seconds'
  /** The run whose layers and samples are shown; '' for the first. */
  readonly run: string
  /** Ends of the selected part of x, or null for all. */
  readonly from: number | null
  readonly to: number | null
}

const DEFAULT: View = {
  hidden: [],
  smoothing: 0.9,
  logY: false,
  logX: false,
  x: 'step',
  run: '',
  from: null,
  to: null,
}

export function readView(): View {
  const given = new URLSearchParams(location.hash.slice(1))
  const number = (name: string) => {
    const value = Number(given.get(name) ?? Number.NaN)
    return Number.isFinite(value) ? value : null
  }
  const x = given.get('x')
  return {
    hidden: given.getAll('hide'),
    smoothing: Math.min(0.999, Math.max(0, number('smoothing') ?? DEFAULT.smoothing)),
    logY: given.has('logy'),
    logX: given.has('logx'),
    x: x === 'tokens' || x === 'seconds' ? x : 'step',
    run: given.get('run') ?? '',
    from: number('from'),
    to: number('to'),
  }
}

export function writeView(view: View): void {
  const written = new URLSearchParams()
  for (const name of view.hidden) written.append('hide', name)
  if (view.smoothing !== DEFAULT.smoothing) written.set('smoothing', String(view.smoothing))
  if (view.logY) written.set('logy', '')
  if (view.logX) written.set('logx', '')
  if (view.x !== 'step') written.set('x', view.x)
  if (view.run !== '') written.set('run', view.run)
  if (view.from !== null && view.to !== null) {
    written.set('from', String(view.from))
    written.set('to', String(view.to))
  }
  history.replaceState(null, '', `#${written.toString().replaceAll('=&', '&').replace(/=$/, '')}`)
}
