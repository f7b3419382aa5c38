// A log of one JSON object a line, in an order that is known: what an interrupted run has finished. A line that a killed
// process left unfinished, and all after it, is written again.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { storageError } from '../formats/storage.js'
import { wholeLines } from './line-file.js'

/** Twelve digits that stand for the settings that decide the entries of a log. */
export function settingsHash(settings: unknown): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 12)
}

/** What takes the entries of a log; an array does. */
export interface Entries<Entry> {
  readonly length: number
  push(entry: Entry): unknown
}

export class LineLog<Entry, Kept extends Entries<Entry> = Entry[]> {
  readonly file: string
  /** What earlier runs have left, and what was appended, as `kept` keeps it. */
  readonly entries: Kept
  #fd: number | null = null
  #length = 0

  /** `parse`: the entry of a line, null where it is not that of this index. `kept`: empty. Throws StorageError. */
  constructor(file: string, parse: (line: unknown, index: number) => Entry | null, kept: Kept) {
    this.file = file
    this.entries = kept
    let fd: number
    try {
      fd = fs.openSync(file, 'r')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return
      throw storageError(cause, file, 0)
    }
    try {
      this.#read(fd, parse)
    } catch (cause) {
      throw storageError(cause, file, 0)
    } finally {
      fs.closeSync(fd)
    }
  }

  #read(fd: number, parse: (line: unknown, index: number) => Entry | null): void {
    for (const { bytes, at } of wholeLines(fd)) {
      for (let start = 0; start < bytes.length; ) {
        const end = bytes.indexOf('\n', start)
        if (end === -1) return
        const entry = parse(parsedJson(bytes.toString('utf8', start, end)), this.entries.length)
        if (entry === null) return
        this.entries.push(entry)
        start = end + 1
        this.#length = at + start
      }
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
    for (const entry of entries) this.entries.push(entry)
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
