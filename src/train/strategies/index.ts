// All strategies, by the name that recipes use.

import { type ScratchOptions, scratch } from './scratch.js'
import { type StochaOptions, stocha } from './stocha.js'
import type { Strategy } from './strategy.js'
import { type SwiftOptions, swift } from './swift.js'

export type { ScratchOptions } from './scratch.js'
export type { StochaOptions } from './stocha.js'
export type { Strategy } from './strategy.js'
export type { SwiftOptions } from './swift.js'

export type StrategyOptions = ScratchOptions | SwiftOptions | StochaOptions

/** Binds a strategy to a run of `steps` steps. Throws ActivationError or OptionError for options that do not fit. */
export function makeStrategy(options: StrategyOptions, steps: number): Strategy {
  switch (options.strategy) {
    case 'scratch':
      return scratch(options)
    case 'swift':
      return swift(options, steps)
    case 'stocha':
      return stocha(options, steps)
  }
}
