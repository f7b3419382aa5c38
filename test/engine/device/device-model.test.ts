// A device model's sessions, draws, limits, failures and memory.

import { expect, it } from 'vitest'
import { defineActivation } from '../../../src/activations/define.js'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import { DeviceModel } from '../../../src/engine/device/device-model.js'
import { EngineModel, LanguageModel } from '../../../src/engine/index.js'
import { openGpu } from '../../../src/kernels/webgpu/index.js'
import { bitsOf } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'
import { describeWithGpu } from './with-gpu.js'

const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize }
const tensors = tensorOf(randomTensors(config, 9))

await describeWithGpu('a model on the device', gpu => {
  it('draws what the CPU draws: the same texts of several sequences at temperature 0, and other texts of other seeds', async () => {
    const options = { activation: 'stocha:p=0.5', maxTokens: 12, ignoreEos: true, n: 2 }
    const cpu = new LanguageModel(new EngineModel(config, tensors), tokenizer)
    const device = new LanguageModel(await DeviceModel.create(config, tensors, { gpu }), tokenizer)
    const texts = new Set<string>()
    for (const seed of [1, 2]) {
      const expected = await cpu.completeMany('Once', { ...options, seed })
      const actual = await device.completeMany('Once', { ...options, seed })
      expect(actual.map(({ tokens }) => tokens.map(({ id }) => id))).toEqual(
        expected.map(({ tokens }) => tokens.map(({ id }) => id)),
      )
      for (const { tokens } of actual) texts.add(tokens.map(({ id }) => id).join())
    }
    expect(texts.size).toBeGreaterThan(1)
    device.dispose()
  })

  it('gives the largest logits where no others are needed: the same texts, in a fraction of the bytes', async () => {
    // More than one chunk of the vocabulary, which has rows beyond the tokenizer's; of two tokens each the logits are equal.
    const wide = { ...config, vocabSize: 2500 }
    const weights = randomTensors(wide, 9)
    const head = weights.get('lm_head.weight')!
    for (let row = 1; row < wide.vocabSize; row += 2) head.copyWithin(row * 24, (row - 1) * 24, row * 24)
    const model = await DeviceModel.create(wide, tensorOf(weights), { gpu })
    const all = await model.session().prefill([5, 9])
    const whole = model.lastTimes.bytes
    const session = model.session({ best: { count: 7, among: 2300 } })
    await session.prefill([5])
    const [fork] = session.fork([{}])
    await model.stepTogether([fork, session], [9, 9])
    const expected = Array.from(all.subarray(0, 2300).keys()).sort((a, b) => all[b] - all[a] || a - b)
    for (const { best } of [fork, session]) {
      expect([...best!.ids]).toEqual(expected.slice(0, 7))
      expect([...best!.logits]).toEqual(expected.slice(0, 7).map(id => all[id]))
      const sum = Math.log(all.reduce((total, logit) => total + Math.exp(logit), 0))
      expect(best!.logSumExp).toBeCloseTo(sum, 5)
    }
    expect(whole - model.lastTimes.bytes).toBeGreaterThan(4 * 2500 - 2 * 4 * 16)
    const text = new LanguageModel(model, tokenizer)
    for (const options of [{}, { temperature: 0.9, topK: 6, topP: 0.9, n: 2 }]) {
      const of = { ...options, seed: 3, maxTokens: 6, ignoreEos: true, topLogprobs: 4 }
      const told = async (more: object) =>
        (await text.completeMany('Once', { ...of, ...more })).map(({ tokens }) =>
          tokens.map(({ id, topLogprobs }) => [id, topLogprobs!.map(top => top.id)]),
        )
      const few = await told({})
      expect(model.lastTimes.bytes).toBeLessThan(whole / 4)
      // A bias of 0 asks for all logits.
      expect(few).toEqual(await told({ logitBias: { 3: 0 } }))
      expect(model.lastTimes.bytes).toBeGreaterThanOrEqual(whole)
    }
    text.dispose()
  })

  it('reads a prompt longer than a pass, grows its cache and forks it, with the bits of one session', async () => {
    const model = await DeviceModel.create({ ...config, maxPositionEmbeddings: 400 }, tensors, { gpu })
    const prompt = Array.from({ length: 150 }, (_, i) => (7 * i) % 256)
    const whole = model.session()
    await whole.prefill([...prompt, 4, 5])
    const parent = model.session()
    await parent.prefill(prompt)
    const [fork, other] = parent.fork([{}, { sequence: 1 }])
    await model.stepTogether([fork, other, parent], [4, 9, 4])
    await fork.step(5)
    expect(fork.position).toBe(152)
    expect(bitsOf(fork.logits)).toEqual(bitsOf(whole.logits))
    model.dispose()
  })

  it('refuses what it does not compute, in one line', async () => {
    const create = (other: object) => DeviceModel.create({ ...config, ...other }, tensors, { gpu })
    await expect(create({ somethingNew: 1 })).rejects.toMatchObject({ code: 'WEBGPU_CONFIG' })
    const model = await DeviceModel.create(config, tensors, { gpu })
    const activation = defineActivation({ name: 'double', forward: x => 2 * x, derivative: () => 2 })
    expect(() => model.session({ activation })).toThrow(/double is made of functions in JavaScript/)
    model.dispose()
  })

  // FLICKER_FULL: fifty.
  it('gives back the memory of its sessions and of itself: twenty models hold no more than one', async () => {
    const count = process.env.FLICKER_FULL === undefined ? 20 : 50
    const large = { ...config, hiddenSize: 256, intermediateSize: 1024, numHiddenLayers: 4 }
    const weights = tensorOf(randomTensors(large, 3))
    const resident: number[] = []
    for (let i = 0; i < count; i++) {
      const model = await DeviceModel.create(large, weights, { gpu })
      const before = model.deviceBytes
      const session = model.session()
      if (i % 10 === 0) await session.step(1)
      session.dispose()
      expect(model.deviceBytes - before).toBeLessThan(1e6)
      model.dispose()
      expect(model.deviceBytes).toBe(0)
      await gpu.device.queue.onSubmittedWorkDone()
      resident.push(process.memoryUsage().rss)
    }
    // Each has 16 MB of weights.
    expect(resident[count - 1] - resident[9]).toBeLessThan(Math.min(200e6, (count - 10) * 8e6))
  })
})

await describeWithGpu('a device that is lost', () => {
  it('ends a step with one clear error, and every later one', async () => {
    const gpu = await openGpu()
    const model = await DeviceModel.create(config, tensors, { gpu })
    const session = model.session()
    await session.step(1)
    const step = session.step(2)
    gpu.device.destroy()
    await expect(step).rejects.toMatchObject({ code: 'DEVICE_LOST' })
    await expect(session.step(3)).rejects.toMatchObject({ code: 'DEVICE_LOST' })
    await expect(session.step(3)).rejects.toThrow(/load the model again/)
  })

  it('says of a model that was disposed of that it was', async () => {
    const model = await DeviceModel.create(config, tensors)
    const session = model.session()
    model.dispose()
    await expect(session.step(1)).rejects.toMatchObject({ code: 'MODEL_DISPOSED' })
  })
})
