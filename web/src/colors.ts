// The colors of the reports, for both pages.

import { paletteCss } from '../../src/report/palette.js'

export function addColors(): void {
  const style = document.createElement('style')
  style.textContent = `:root{${paletteCss('light')}}@media (prefers-color-scheme:dark){:root{${paletteCss('dark')}}}`
  document.head.append(style)
}

/** A color of the present scheme, by the name of its CSS variable. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}
