// WGSL that fills a matrix on the device with random numbers, for models of a given shape that nobody trained: handing
// over gigabytes would take longer than measuring with them.

import { type Access, buffers } from './constants.js'
import { downTiles } from './down-tiles.js'
import type { Gpu } from './gpu.js'
import { compilerOf } from './kernel.js'
import type { DeviceMatrix } from './matrix.js'
import { float } from './matvec.js'
import { rowVectors, vectorFormat } from './vector-formats.js'
import { scaleFor, WEIGHT_RANGE } from './weight-range.js'

const ACCESS: readonly Access[] = ['write', 'read']
const SIZE = 256
/** Workgroups in a row of the grid. */
const GRID = 32768

/** Numbers uniform in ±WEIGHT_RANGE; of quantized rows, codes uniform and one scale for all groups. */
function fillCode({ type, layout }: DeviceMatrix, columns: number): string {
  const scales =
    layout === 'rows'
      ? `i % ${rowVectors(type, columns)}u < ${vectorFormat(type).scaleVectors(columns)}u`
      : `i >= ${downTiles(type, columns).tiles * vectorFormat(type).tileVectors}u * COUNT`
  const range = float(WEIGHT_RANGE)
  const number = `${range} * (f32(hash(seed)) * ${2 ** -31} - 1.0)`
  const word = {
    f32: `bitcast<u32>(${number})`,
    f16: `pack2x16float(vec2<f32>(${range} * unpack2x16snorm(hash(seed))))`,
    bf16: `pair(seed)`,
    q8_0: 'hash(seed)',
    q4_0: 'hash(seed)',
  }[type as 'f32']
  return `override COUNT: u32 = 1u;
@group(0) @binding(0) var<storage, read_write> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> first: array<u32>;
fn hash(seed: u32) -> u32 {
  var h = seed * 747796405u + 2891336453u;
  h = ((h >> ((h >> 28u) + 4u)) ^ h) * 277803737u;
  return (h >> 22u) ^ h;
}
fn pair(seed: u32) -> u32 {
  let two = ${range} * unpack2x16snorm(hash(seed));
  return (bitcast<u32>(two.x) >> 16u) | (bitcast<u32>(two.y) & 0xffff0000u);
}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (wg.y * ${GRID}u + wg.x) * ${SIZE}u + t;
  if (i >= arrayLength(&w)) { return; }
  if (${scales}) {
    w[i] = vec4<u32>(pack2x16float(vec2<f32>(${float(scaleFor(type))})));
    return;
  }
  var v = vec4<u32>(0u);
  for (var c = 0u; c < 4u; c++) {
    let seed = first[0] + 4u * i + c;
    v[c] = ${word};
  }
  w[i] = v;
}
`
}

/** Fills a matrix of rows of `columns` numbers; another `seed`, other numbers. */
export async function fillRandom(
  gpu: Gpu,
  matrix: DeviceMatrix,
  columns: number,
  seed: number,
): Promise<void> {
  const { device } = gpu
  for (const { buffer, first, count } of matrix.parts) {
    const kernel = await compilerOf(gpu).compile(fillCode(matrix, columns), ACCESS, { COUNT: count })
    const start = device.createBuffer({ size: 16, usage: buffers.storage })
    device.queue.writeBuffer(start, 0, Uint32Array.of((seed * 0x9e3779b9 + first * 7919) >>> 0))
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(kernel.pipeline)
    pass.setBindGroup(0, kernel.bind([buffer, start]))
    const groups = Math.ceil(buffer.size / 16 / SIZE)
    pass.dispatchWorkgroups(Math.min(groups, GRID), Math.ceil(groups / GRID))
    pass.end()
    device.queue.submit([encoder.finish()])
    start.destroy()
  }
}
