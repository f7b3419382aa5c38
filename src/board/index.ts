export { boardAssets } from './assets.js'
export { type BoardServer, createBoard } from './server.js'
