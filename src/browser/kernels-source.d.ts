/** The WebAssembly kernels in base64, '' where they were not built: written by scripts/build-browser.mjs. */
declare const source: string
export default source
