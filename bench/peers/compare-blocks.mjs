// Reads the blocks that ggml_blocks.py wrote and compares every value with ggml's.
// node bench/peers/compare-blocks.mjs blocks.json, after npm run build

import fs from 'node:fs'
import { decodeStored, heldAs, heldBlocks } from '../../dist/formats/stored.js'

let failed = false
for (const [type, { blocks, values }] of Object.entries(
  JSON.parse(fs.readFileSync(process.argv[2], 'utf8')),
)) {
  const bytes = new Uint8Array(Buffer.from(blocks, 'hex'))
  const expected = new Float32Array(new Uint8Array(Buffer.from(values, 'hex')).buffer)
  const differing = differences(decodeStored(type, bytes), expected)
  const held = heldBlocks(type, bytes)
  const again = held === null ? null : differences(decodeStored(heldAs(type), held), expected)
  failed ||= differing > 0
  console.log(
    `${type}: ${expected.length} values, ${differing} differ; held as ${heldAs(type)}` +
      (again === null ? '' : `, ${again} values differ`),
  )
}
process.exitCode = failed ? 1 : 0

function differences(values, expected) {
  let count = 0
  for (let i = 0; i < expected.length; i++)
    if (!Object.is(values[i], expected[i]) && values[i] !== expected[i]) count++
  return count
}
