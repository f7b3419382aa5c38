// In place of src/activations/activation-file.ts: a browser loads no files with code.

import { ActivationError } from '../../errors.js'

const EXTENSION = /\.(ts|mts|js|mjs|cjs)$/

export const isActivationFile = (spec: string) => EXTENSION.test(spec.trim())
export const loadedActivationFiles = () => []
export const loadActivationFiles = () => {}

export function loadedActivation(spec: string): never {
  throw new ActivationError(
    'ACTIVATION_FILE_NOT_LOADED',
    `the activation ${JSON.stringify(spec)} names a file with code, which is not loaded in a browser; give an activation of ` +
      'the catalog as the option activation',
  )
}
export const loadActivationFile = loadedActivation
