// In place of src/kernels/native/find-addon.ts: a browser has no addon.

export const loadAddon = () => null
export const repairCommand = () => 'npm run build:wasm'
export const explainMissingAddon = () => 'a browser has no native kernels'
export const warnWithoutAddon = () => {}
