/** The program of the worker, as one script: written by scripts/build-browser.mjs. */
declare const source: string
export default source
