// Where a token's time on the device goes: each kernel of all layers alone, one after another as in a pass.

import type { DeviceModel } from '../engine/device/device-model.js'
import {
  buffers,
  cacheVectors,
  compilerOf,
  type Dispatch,
  type Gpu,
  MAP_FOR_READING,
} from '../kernels/webgpu/index.js'
import { median } from '../statistics.js'

export interface KernelTime {
  readonly kernel: string
  /** Of all layers: what the kernel takes of a token. */
  readonly microsecondsPerToken: number
  readonly microsecondsPerCall: number
}

const REPEATS = 8
const ROUNDS = 5
/** Tokens before the one of a whole pass. */
const CONTEXT = 64
/** Tokens whose parts on the host are measured. */
const HOST_STEPS = 24

const NOTHING = `
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(32) fn main(@builtin(local_invocation_index) t: u32) { if (t == 0u) { x[0] += 1u; } }`

export async function profileKernels(
  gpu: Gpu,
  dense: DeviceModel,
  sparse: DeviceModel,
): Promise<KernelTime[]> {
  const { device } = gpu
  const layers = [...dense.kernels.layers.keys()]
  const nothing = await compilerOf(gpu).compile(NOTHING, ['write'])
  const buffer = device.createBuffer({ size: 16, usage: buffers.storage })
  const empty: Dispatch = { kernel: nothing, group: nothing.bind([buffer]), workgroups: 1 }
  const ffn = async (model: DeviceModel, skips: boolean, which: number) =>
    (await Promise.all(layers.map(layer => model.kernels.ffn(layer, model.activation, skips)))).map(
      dispatches => dispatches[which],
    )
  const attention = await attentionOf(gpu, dense)
  const lists: Record<string, readonly Dispatch[]> = {
    'nothing, but in order': layers.map(() => empty),
    embedding: dense.kernels.embedding,
    'norm, q, k, v': dense.kernels.layers.flatMap(({ qkv }) => qkv),
    attention: layers.map(() => attention),
    output: dense.kernels.layers.flatMap(({ output }) => output),
    'norm, gate and up, dense': await ffn(dense, false, 0),
    'norm, gate and up, sparse': await ffn(sparse, true, 0),
    'down, dense': await ffn(dense, false, 1),
    'down, sparse': await ffn(sparse, true, 1),
    'norm, head': dense.kernels.head,
  }
  const clock = deviceClock(gpu)
  const staging = device.createBuffer({ size: 32, usage: buffers.staging })
  const times: KernelTime[] = []
  for (const [kernel, dispatches] of Object.entries(lists)) {
    const run = async (repeats: number): Promise<number> => {
      const encoder = device.createCommandEncoder()
      const pass = encoder.beginComputePass(clock?.writes)
      for (let i = 0; i < repeats; i++) {
        for (const dispatch of dispatches) {
          pass.setPipeline(dispatch.kernel.pipeline)
          pass.setBindGroup(0, dispatch.group)
          pass.dispatchWorkgroups(dispatch.workgroups, 1)
        }
      }
      pass.end()
      clock?.resolve(encoder, staging)
      encoder.copyBufferToBuffer(buffer, 0, staging, 16, 16)
      const commands = encoder.finish()
      const start = performance.now()
      device.queue.submit([commands])
      await staging.mapAsync(MAP_FOR_READING)
      const waited = performance.now() - start
      const milliseconds = clock?.read(staging.getMappedRange()) ?? waited
      staging.unmap()
      return milliseconds
    }
    await run(1)
    const rounds: number[] = []
    // The difference of two lengths: what submitting and waiting take is in both.
    for (let round = 0; round < ROUNDS; round++) {
      const short = await run(REPEATS)
      rounds.push(((await run(3 * REPEATS)) - short) / (2 * REPEATS))
    }
    const microseconds = 1000 * median(rounds)
    times.push({
      kernel,
      microsecondsPerToken: microseconds,
      microsecondsPerCall: microseconds / dispatches.length,
    })
  }
  buffer.destroy()
  staging.destroy()
  clock?.destroy()
  for (const [way, model] of [
    ['dense', dense],
    ['sparse', sparse],
  ] as const) {
    const session = model.session()
    await session.prefill(Array.from({ length: CONTEXT }, (_, i) => i))
    const rounds: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const short = await model.timePasses(session, 2)
      rounds.push(((await model.timePasses(session, 2 + REPEATS)) - short) / REPEATS)
    }
    const parts = { submit: [] as number[], wait: [] as number[], read: [] as number[] }
    for (let i = 0; i < HOST_STEPS; i++) {
      await session.step(i)
      for (const name of ['submit', 'wait', 'read'] as const) parts[name].push(model.lastTimes[name])
    }
    for (const [name, all] of Object.entries(parts)) {
      const microseconds = 1000 * median(all)
      const kernel = `a token from the host's side, ${way}: ${name}`
      times.push({ kernel, microsecondsPerToken: microseconds, microsecondsPerCall: microseconds })
    }
    session.dispose()
    const microseconds = 1e6 * median(rounds)
    const kernel = `the whole pass, ${way}, not waited for`
    times.push({ kernel, microsecondsPerToken: microseconds, microsecondsPerCall: microseconds })
  }
  return times
}

/** Attention of one head row after CONTEXT tokens, whose keys and values are zeros. */
async function attentionOf({ device }: Gpu, { kernels }: DeviceModel): Promise<Dispatch> {
  const { attention: shape, buffers: own } = kernels
  const { attend } = await kernels.attend(false, 0)
  const made = [CONTEXT * shape.headDim * 4, 16, 2 * CONTEXT * shape.kvHeads * cacheVectors(shape) * 16].map(
    size => device.createBuffer({ size, usage: buffers.storage }),
  )
  device.queue.writeBuffer(own.rows, 0, Uint32Array.of(0, CONTEXT - 1))
  const [rotation, firstRow, cache] = made
  const group = attend.bind([own.qkv, rotation, own.rows, firstRow, cache, own.gathered])
  return { kernel: attend, group, workgroups: shape.heads }
}

/** The device's own clock, where it has one: without it, what the driver takes to accept commands counts too. */
function deviceClock({ device }: Gpu) {
  if (!device.features.has('timestamp-query')) return null
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 })
  const resolved = device.createBuffer({ size: 16, usage: buffers.queries })
  return {
    writes: {
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    },
    resolve(encoder: GPUCommandEncoder, staging: GPUBuffer) {
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0)
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16)
    },
    /** Milliseconds. */
    read(bytes: ArrayBuffer): number {
      const [begin, end] = new BigUint64Array(bytes, 0, 2)
      return Number(end - begin) / 1e6
    },
    destroy() {
      querySet.destroy()
      resolved.destroy()
    },
  }
}
