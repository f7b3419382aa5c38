// Where two sets of options differ first.

import { shown } from '../schema-issues.js'

/** `training.steps: 100 there, 200 now`, or null when both are equal. */
export function firstDifference(before: unknown, now: unknown, at = ''): string | null {
  if (isObject(before) && isObject(now)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
      const difference = firstDifference(before[key], now[key], at === '' ? key : `${at}.${key}`)
      if (difference !== null) return difference
    }
    return null
  }
  return before === now ? null : `${at}: ${shown(before)} there, ${shown(now)} now`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
