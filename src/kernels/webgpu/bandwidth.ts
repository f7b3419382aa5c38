// What the device's memory gives: the limit that decoding is held against.

import { buffers, MAP_FOR_READING } from './constants.js'
import type { Gpu } from './gpu.js'
import { compilerOf } from './kernel.js'

export interface Bandwidth {
  /** Bytes read and written per second by the faster of two ways to copy: the device's own, and a kernel. */
  readonly copy: number
  /** Bytes read per second by a kernel that adds them up. */
  readonly read: number
}

/** Far more than caches hold; a processor that stands in for a GPU gets less. */
const BYTES = 512 * 2 ** 20
const FALLBACK_BYTES = 16 * 2 ** 20
const REPEATS = 8
const ROUNDS = 5

const COPY = `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sink: array<vec4<u32>>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = wg.x * 1024u + t;
  let a = source[i];
  let b = source[i + 256u];
  let c = source[i + 512u];
  let d = source[i + 768u];
  sink[i] = a;
  sink[i + 256u] = b;
  sink[i + 512u] = c;
  sink[i + 768u] = d;
}`

const READ = `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sink: array<vec4<u32>>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = wg.x * 2048u + t;
  var sum = vec4<u32>(0u);
  for (var j = 0u; j < 8u; j++) { sum ^= source[i + 256u * j]; }
  // Never so, but the compiler does not know it.
  if ((sum.x & sum.y & sum.z & sum.w) == 0x9e3779b9u) { sink[i] = sum; }
}`

/** The highest of several rounds each. */
export async function measureBandwidth(gpu: Gpu): Promise<Bandwidth> {
  const { device, info, maxBindingBytes } = gpu
  const bytes = Math.min(info.fallback ? FALLBACK_BYTES : BYTES, 2 ** Math.floor(Math.log2(maxBindingBytes)))
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: bytes, usage: buffers.storage }))
  const staging = device.createBuffer({ size: 16, usage: buffers.staging })
  const kernels = await Promise.all(
    [COPY, READ].map(code => compilerOf(gpu).compile(code, ['read', 'write'])),
  )
  const time = async (record: (encoder: GPUCommandEncoder) => void): Promise<number> => {
    const encoder = device.createCommandEncoder()
    for (let i = 0; i < REPEATS; i++) record(encoder)
    encoder.copyBufferToBuffer(to, 0, staging, 0, 16)
    const commands = encoder.finish()
    const start = performance.now()
    device.queue.submit([commands])
    await staging.mapAsync(MAP_FOR_READING)
    const seconds = (performance.now() - start) / 1000
    staging.unmap()
    return (REPEATS * bytes) / seconds
  }
  const dispatch = (which: number, vectors: number) => (encoder: GPUCommandEncoder) => {
    const pass = encoder.beginComputePass()
    pass.setPipeline(kernels[which].pipeline)
    pass.setBindGroup(0, kernels[which].bind([from, to]))
    pass.dispatchWorkgroups(bytes / 16 / vectors)
    pass.end()
  }
  let [copy, read] = [0, 0]
  for (let round = 0; round <= ROUNDS; round++) {
    const own = await time(encoder => encoder.copyBufferToBuffer(from, 0, to, 0, bytes))
    const kernel = await time(dispatch(0, 1024))
    const reading = await time(dispatch(1, 2048))
    if (round === 0) continue
    copy = Math.max(copy, 2 * own, 2 * kernel)
    read = Math.max(read, reading)
  }
  for (const buffer of [from, to, staging]) buffer.destroy()
  gpu.requireUsable()
  return { copy, read }
}
