// flicker-lm/ai: models in this process for the `ai` package (the AI SDK).

export { type FlickerSettings, flicker, flickerEmbedding } from './models.js'
