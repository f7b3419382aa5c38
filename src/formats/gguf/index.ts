// GGUF, the files of llama.cpp.

export { ggufArchitecture } from './config.js'
export { isGguf } from './parse.js'
export { openGguf } from './read.js'
export { type GgufContent, type WrittenGguf, writeGguf } from './write.js'
