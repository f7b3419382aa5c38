// In place of src/kernels/wasm/module-file.ts: a page gives its worker the module.

export const hasModuleFile = () => false
export const readModuleFile = () => null
