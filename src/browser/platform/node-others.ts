// Modules of Node that reading a model imports and never calls in a browser.

const unavailable = (name: string) => (): never => {
  throw new Error(`${name} is not available in a browser`)
}

export const createRequire = () => unavailable('require')
export const createHash = unavailable('createHash')
export const randomBytes = unavailable('randomBytes')
export const gunzipSync = unavailable('gunzip')
export const fileURLToPath = (url: URL | string) => new URL(url).pathname
export const threadId = 0
export const isMainThread = false
