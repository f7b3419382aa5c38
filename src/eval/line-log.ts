// A log of one JSON object a line, in an order that is known: what an interrupted run has finished. A line that a killed
// process left unfinished, and all after it, is written again.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { storageError } from '../formats/storage.js'

/** Twelve digits that stand for the settings that decide the entries of a log. */
export function settingsHash(settings: unknown): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 12)
}

export class LineLog<Entry, Kept = Entry> {
  readonly file: string
  /** What earlier runs have left, and what was appended: the part of each entry that is kept in memory. */
  readonly entries: Kept[] = []
  readonly #keep: (entry: Entry) => Kept
  #fd: number | null = null
  #length = 0

  /** `parse`: the entry of a line, null where it is not that of this index. Throws StorageError. */
  constructor(
    file: string,
    parse: (line: unknown, index: number) => Entry | null,
    keep: (entry: Entry) => Kept,
  ) {
    this.file = file
    this.#keep = keep
    let text = ''
    try {
      text = fs.readFileSync(file, 'utf8')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(cause, file, 0)
    }
    for (const line of text.split('\n').slice(0, -1)) {
      const entry = parse(parsedJson(line), this.entries.length)
      if (entry === null) break
      this.entries.push(keep(entry))
      this.#length += Buffer.byteLength(line) + 1
    }
  }

  /** Throws StorageError. */
  append(entries: readonly Entry[]): void {
    const text = entries.map(entry => `${JSON.stringify(entry)}\n`).join('')
    try {
      if (this.#fd === null) {
        fs.mkdirSync(path.dirname(this.file), { recursive: true })
        this.#fd = fs.openSync(this.file, 'a')
        fs.ftruncateSync(this.#fd, this.#length)
      }
      fs.writeFileSync(this.#fd, text)
    } catch (cause) {
      throw storageError(cause, this.file, text.length)
    }
    for (const entry of entries) this.entries.push(this.#keep(entry))
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd)
    this.#fd = null
  }
}

/** Undefined for what is not JSON. */
function parsedJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
