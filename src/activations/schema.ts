// The schema of an activation in options: recipes, flags and library options all check names with it.

import { z } from 'zod'
import { FlickerError } from '../errors.js'
import { parseActivation } from './catalog.js'

/** An activation by name, e.g. `stocha:p=0.3`; the message of a wrong one lists those that exist. */
export const activationSchema = z.string().superRefine((spec, context) => {
  try {
    parseActivation(spec)
  } catch (error) {
    if (!(error instanceof FlickerError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
})
