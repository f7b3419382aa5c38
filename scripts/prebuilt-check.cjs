// Loads a package with prebuilt kernels and holds some of them to plain JavaScript, with every instruction set that the
// processor (or the emulator) runs: `node check.cjs PACKAGE`. Run by prebuild.mjs with the Node of the platform.

const addon = require(process.argv[2])

function fail(message) {
  console.error(message)
  process.exit(1)
}

// Small integers: every sum is exact, in any order.
const integers = n => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 13) - 6)
const [m, n, k] = [37, 29, 53]
const [a, b] = [integers(m * k), integers(k * n)]
const product = new Float32Array(m * n)
for (let i = 0; i < m; i++)
  for (let j = 0; j < n; j++) for (let t = 0; t < k; t++) product[i * n + j] += a[i * k + t] * b[t * n + j]

const sets = addon.instructionSets()
if (sets.length === 0) fail('no instruction set of the addon runs here')
for (const isa of sets) {
  addon.select(isa)
  for (const threads of [1, 3]) {
    addon.setThreads(threads)
    const c = new Float32Array(addon.aligned(m * n * 4))
    addon.gemm(a, b, c, m, n, k, false, false, false)
    if (c.some((value, i) => value !== product[i])) fail(`${isa}: gemm is wrong`)
    const sum = addon.sum(a, a.length)
    if (sum !== a.reduce((x, y) => x + y)) fail(`${isa}: sum is wrong`)
    const x = integers(64 * 24)
    const out = new Float32Array(x.length)
    addon.rmsNorm(x, new Float32Array(24).fill(1), out, new Float32Array(64), 64, 24, 1e-6)
    for (let row = 0; row < 64; row++) {
      const values = x.subarray(row * 24, row * 24 + 24)
      const rms = Math.sqrt(values.reduce((total, value) => total + value * value, 0) / 24)
      if (values.some((value, i) => Math.abs(out[row * 24 + i] - value / rms) > 1e-5))
        fail(`${isa}: rmsNorm is wrong`)
    }
  }
}
let refused = ''
try {
  addon.gemm(a, b, new Float32Array(1), m, n, k, false, false, false)
} catch (error) {
  refused = error.message
}
if (refused === '') fail('a buffer that is too short was taken')
console.log(`${process.platform} ${process.arch}, Node ${process.version}, ${sets.join(', ')}: right`)
