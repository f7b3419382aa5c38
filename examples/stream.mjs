// Streams a continuation as JSON lines, as a server would, until it ends or a second has passed:
// node examples/stream.mjs MODEL [PROMPT]
import { load } from 'flicker-lm'

const [path = 'runs/example', prompt = 'Flicker '] = process.argv.slice(2)
const model = await load(path)
const signal = AbortSignal.timeout(1000)
for await (const { text, finishReason } of model.generate(prompt, { maxTokens: 20, signal })) {
  console.log(JSON.stringify({ text, finishReason }))
}
model.dispose()
