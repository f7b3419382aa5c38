// In place of src/engine/model/spill-file.ts: `compact` is no option in a browser.

export class SpillFile {
  append(): never {
    throw new Error('there are no temporary files in a browser')
  }
  read(): void {}
  close(): void {}
}
