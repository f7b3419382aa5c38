export { boardAssets } from './assets.js'
export { playgroundFile } from './playground.js'
export { type BoardServer, createBoard } from './server.js'
