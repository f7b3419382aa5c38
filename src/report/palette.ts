// How a run looks in every figure and table: color, dash and marker, so that color alone never has to tell.
// Colors are CSS custom properties: one figure serves a light and a dark page.

export interface RunStyle {
  /** `var(--run-…)`, defined by `paletteCss`. */
  readonly color: string
  /** SVG stroke-dasharray. */
  readonly dash: string
  readonly symbol: 'circle' | 'square' | 'triangle' | 'diamond' | 'star' | 'wye' | 'cross'
  /** Outlined instead of filled: when there are more runs than symbols. */
  readonly hollow: boolean
}

/**
 * Eight hues after Okabe and Ito, in an order that keeps the first ones far apart for every kind of color vision,
 * each at 4.5:1 or more on its page, so that words can carry them. The first is the neutral of the baseline.
 */
export const RUN_COLORS = {
  light: ['#3b4148', '#00559f', '#c04f00', '#008064', '#a0327c', '#5c4500', '#7655ee', '#8c1029'],
  dark: ['#e3e6ea', '#4ba3ea', '#ff9440', '#62e6b4', '#f59ad0', '#f0e14a', '#b3a2ff', '#ff6672'],
} as const

/** Everything on the page that is not a run. */
export const PAGE_COLORS = {
  light: {
    page: '#fcfcfb',
    panel: '#f2f2ef',
    ink: '#1b1f23',
    'ink-soft': '#555c63',
    line: '#dcdcd7',
    heat: '#00559f',
    best: '#fff0c2',
  },
  dark: {
    page: '#15181b',
    panel: '#1f2327',
    ink: '#e9ebed',
    'ink-soft': '#a5adb5',
    line: '#363c42',
    heat: '#62b4f5',
    best: '#4a3d12',
  },
} as const

const DASHES = ['none', '7 3', '2 3', '9 3 2 3', '4 4', '14 4', '1 4', '12 3 2 3 2 3']
const SYMBOLS = ['circle', 'square', 'triangle', 'diamond', 'star', 'wye', 'cross'] as const

/** The look of the run at `index` of a study. */
export function runStyle(index: number): RunStyle {
  return {
    color: `var(--run-${index % RUN_COLORS.light.length})`,
    dash: DASHES[index % DASHES.length],
    symbol: SYMBOLS[index % SYMBOLS.length],
    hollow: Math.floor(index / SYMBOLS.length) % 2 === 1,
  }
}

/** The custom properties of one scheme, as CSS declarations. */
export function paletteCss(scheme: 'light' | 'dark'): string {
  const page = Object.entries(PAGE_COLORS[scheme]).map(([name, color]) => `--${name}:${color}`)
  const runs = RUN_COLORS[scheme].map((color, i) => `--run-${i}:${color}`)
  return [...page, ...runs].join(';')
}
