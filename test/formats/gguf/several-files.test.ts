// A GGUF model in several files, as llama-gguf-split writes them.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { openGguf } from '../../../src/formats/gguf/index.js'
import { openModel } from '../../../src/formats/index.js'
import { directory, expectSame, newFile } from './new-file.js'
import { type RawGguf, rawGguf, splitGguf, tinyLlama } from './raw-gguf.js'

describe('a model in several files', () => {
  let models = 0
  /** The parts of the tiny model, written under the names of llama-gguf-split. */
  function written(count: number, change: (parts: RawGguf[]) => void = () => {}): string[] {
    const parts = splitGguf(tinyLlama(), count)
    change(parts)
    const folder = path.join(directory, `split-${models++}`)
    fs.mkdirSync(folder)
    return parts.map((part, i) => {
      const file = path.join(folder, `m-0000${i + 1}-of-0000${count}.gguf`)
      fs.writeFileSync(file, rawGguf(part))
      return file
    })
  }
  const whole = () => {
    const file = newFile()
    fs.writeFileSync(file, rawGguf(tinyLlama()))
    return openGguf(file)
  }
  const refusal = (file: string) => {
    try {
      openModel(file).close()
    } catch (error) {
      return error as Error & { code: string }
    }
    throw new Error('nothing was refused')
  }

  it.each([
    [2, 0],
    [2, 1],
    [3, 0],
    [3, 1],
    [3, 2],
  ])('of %i is the same model, whichever part (%i) is opened', (count, given) => {
    const source = openModel(written(count)[given])
    const expected = whole()
    expect(source.config).toEqual(expected.config)
    expect(source.names).toEqual(expected.names)
    for (const name of expected.names) expectSame(source.tensor(name), expected.tensor(name), name)
    source.close()
    expected.close()
  })

  it('that says it is one file of one is one, whatever its name', () => {
    const [file] = written(1)
    const renamed = path.join(path.dirname(file), 'renamed.gguf')
    fs.renameSync(file, renamed)
    const source = openModel(renamed)
    source.close()
    expect(source.names).toEqual(whole().names)
  })

  it.each([0, 1, 2])('lacks a part: it is named (%i)', missing => {
    const files = written(3)
    fs.rmSync(files[missing])
    const error = refusal(files[missing === 0 ? 1 : 0])
    expect(error.code).toBe('GGUF_PART_MISSING')
    expect(error.message).toContain(`${files[missing]} is missing`)
  })

  it('must have the names of its parts', () => {
    const [first] = written(2)
    const renamed = path.join(path.dirname(first), 'model.gguf')
    fs.renameSync(first, renamed)
    expect(refusal(renamed).message).toMatch(/part 1 of a model in 2 parts, and is not named so/)
  })

  it.each<[string, (parts: RawGguf[]) => void, RegExp]>([
    [
      'parts in another order',
      parts => parts.reverse(),
      /00001-of-00002\.gguf: named as part 1 of 2, but says it is part 2/,
    ],
    [
      'the same part twice',
      parts => parts.splice(1, 1, parts[0]),
      /named as part 2 of 2, but says it is part 1/,
    ],
    [
      'a part of a model in more parts',
      parts => {
        parts[1].values = [
          ['split.no', { type: 'u32', value: 1 }],
          ['split.count', { type: 'u32', value: 3 }],
        ]
      },
      /but says it is part 2 of 3/,
    ],
    [
      'a tensor in both',
      parts => {
        parts[1].tensors = [...parts[0].tensors]
        parts[1].data = parts[0].data
      },
      /"token_embd\.weight" is in another part too/,
    ],
    [
      'a tensor less than there were',
      parts => parts[1].tensors.pop(),
      /split\.tensors\.count is 11, but the parts have 10/,
    ],
    [
      'an absurd number of parts',
      parts => parts[0].values.push(['split.count', { type: 'u32', value: 2 ** 31 }]),
      /split\.count/,
    ],
  ])('is refused with %s', (_, change, message) => {
    const error = refusal(written(2, change)[0])
    expect(error.code).toBe('GGUF_INVALID')
    expect(error.message).toMatch(message)
  })
})
