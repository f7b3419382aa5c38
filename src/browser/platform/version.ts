// In place of src/version.ts: the build writes the version in.

declare const FLICKER_VERSION: string
export const version = FLICKER_VERSION
