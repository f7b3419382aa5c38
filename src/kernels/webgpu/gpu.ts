// Opens a GPU: through navigator.gpu in a browser, through the npm package `webgpu` (Dawn) in Node.

import { FlickerError } from '../../errors.js'
import { bindings, buffers } from './constants.js'
import type { GpuInfo, GpuOptions } from './gpu-info.js'

/** Without subgroups: rows are added up through workgroup memory by this many invocations. */
const PLAIN_LANES = 16
/** A row of a subgroup variant is added up by at most this many. */
const MOST_LANES = 32

/** An open device. Everything allocated on it is released by `destroy`. */
export class Gpu {
  readonly device: GPUDevice
  readonly info: GpuInfo
  /** Bytes that one storage binding may have. */
  readonly maxBindingBytes: number
  /** Limits of a workgroup. */
  readonly workgroup: { readonly invocations: number; readonly bytes: number }
  #failure: FlickerError | null = null

  constructor(device: GPUDevice, info: GpuInfo, maxBindingBytes: number) {
    this.device = device
    this.info = info
    this.maxBindingBytes = maxBindingBytes
    this.workgroup = {
      invocations: device.limits.maxComputeInvocationsPerWorkgroup,
      bytes: device.limits.maxComputeWorkgroupStorageSize,
    }
    device.lost.then(({ reason, message }) => {
      this.#failure ??= deviceLost(reason === 'destroyed' ? 'it was closed' : firstLine(message))
    })
    device.addEventListener('uncapturederror', event => {
      const { message } = (event as GPUUncapturedErrorEvent).error
      this.#failure ??= new FlickerError(
        'WEBGPU_FAILED',
        `the GPU refused a command: ${firstLine(message)}`,
        {
          exitCode: 1,
        },
      )
    })
  }

  /** Throws FlickerError DEVICE_LOST, WEBGPU_FAILED after the device was lost or refused a command. */
  requireUsable(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** What `error`, raised while waiting for the device, means. */
  async failure(error: unknown): Promise<FlickerError> {
    // The reason that the device was lost arrives after the promises that it has broken.
    await new Promise(resolve => setTimeout(resolve, 20))
    return this.#failure ?? deviceLost(firstLine(error instanceof Error ? error.message : String(error)))
  }

  destroy(): void {
    this.#failure ??= deviceLost('it was closed')
    this.device.destroy()
  }
}

/** Throws FlickerError WEBGPU_MISSING, WEBGPU_NO_ADAPTER, WEBGPU_LIMITS. */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const gpu = await webgpu()
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) {
    throw new FlickerError(
      'WEBGPU_NO_ADAPTER',
      'no GPU was found that WebGPU can use; install its Vulkan, Metal or Direct3D 12 driver, or leave --backend out',
      { exitCode: 1 },
    )
  }
  const { info, limits } = adapter
  const subgroups = options.subgroups !== false && adapter.features.has('subgroups')
  const requiredLimits = Object.fromEntries(
    [
      'maxBufferSize',
      'maxStorageBufferBindingSize',
      'maxComputeInvocationsPerWorkgroup',
      'maxComputeWorkgroupSizeX',
      'maxComputeWorkgroupStorageSize',
    ].map(name => [name, limits[name as keyof GPUSupportedLimits] as number]),
  )
  const requiredFeatures = [
    ...(subgroups ? ['subgroups' as const] : []),
    ...(adapter.features.has('timestamp-query') ? ['timestamp-query' as const] : []),
  ]
  let device: GPUDevice
  try {
    device = await adapter.requestDevice({ requiredFeatures, requiredLimits })
  } catch (error) {
    throw new FlickerError(
      'WEBGPU_LIMITS',
      `the GPU could not be opened: ${firstLine((error as Error).message)}; leave --backend out`,
      { exitCode: 1, cause: error },
    )
  }
  const least = info.subgroupMinSize ?? 0
  const inOrder = subgroups && least >= 2 && (await lanesAreInOrder(device, least))
  return new Gpu(
    device,
    {
      name: [info.vendor, info.architecture, info.device, info.description].filter(part => part).join(' '),
      fallback: info.isFallbackAdapter ?? false,
      subgroups: inOrder,
      lanes: options.lanes ?? (inOrder ? Math.min(least, MOST_LANES) : PLAIN_LANES),
      // A processor gains nothing from it, and longer kernels take it longer to compile.
      ahead: options.ahead ?? (info.isFallbackAdapter === true ? 2 : 4),
      together: options.together ?? 2,
    },
    options.maxBindingBytes ?? Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
  )
}

/** Kept for the life of the process: Dawn's instance must not be collected while a device lives. */
let instance: GPU | undefined

async function webgpu(): Promise<GPU> {
  const browser = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu
  if (browser !== undefined) return browser
  if (instance !== undefined) return instance
  try {
    const dawn = await import('webgpu')
    // Benchmarks read the device's clock; it is rounded to 0.1 ms unless asked not to be.
    instance = dawn.create(['disable-dawn-features=timestamp_quantization'])
    return instance
  } catch (error) {
    const missing = (error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND'
    throw new FlickerError(
      'WEBGPU_MISSING',
      missing
        ? 'the WebGPU backend needs the npm package webgpu; run npm install webgpu'
        : `the npm package webgpu cannot be loaded here: ${firstLine((error as Error).message)}`,
      { cause: error },
    )
  }
}

/**
 * Whether invocation i of a workgroup is invocation i mod size of its subgroup. Every implementation known does so, but
 * WGSL does not promise it, and sums over lanes would be wrong without.
 */
async function lanesAreInOrder(device: GPUDevice, size: number): Promise<boolean> {
  const count = 64
  const module = device.createShaderModule({
    code: `enable subgroups;
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(${count}) fn main(@builtin(local_invocation_index) i: u32,
    @builtin(subgroup_invocation_id) lane: u32) {
  out[i] = lane;
}`,
  })
  const layout = device.createBindGroupLayout({ entries: bindings(['write']) })
  const pipeline = device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: 'main' },
  })
  const buffer = device.createBuffer({ size: 4 * count, usage: buffers.storage })
  const staging = device.createBuffer({ size: 4 * count, usage: buffers.staging })
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  pass.setBindGroup(0, device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] }))
  pass.dispatchWorkgroups(1)
  pass.end()
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4 * count)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(1)
  const lanes = new Uint32Array(staging.getMappedRange().slice(0))
  buffer.destroy()
  staging.destroy()
  return lanes.every((lane, i) => lane % size === i % size)
}

function deviceLost(why: string): FlickerError {
  return new FlickerError('DEVICE_LOST', `the GPU was lost (${why}); load the model again`, { exitCode: 1 })
}

function firstLine(message: string): string {
  return message.split('\n')[0]
}
