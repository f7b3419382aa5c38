// The parts of a browser's interface that are used here and that Node's types lack. No file of this folder gives one of
// these types to its callers.

interface FileSystemSyncAccessHandle {
  read(into: Uint8Array, options: { at: number }): number
  write(bytes: Uint8Array, options: { at: number }): number
  getSize(): number
  truncate(size: number): void
  flush(): void
  close(): void
}
interface FileSystemFileHandle {
  readonly kind: 'file'
  readonly name: string
  getFile(): Promise<Blob>
  createSyncAccessHandle(): Promise<FileSystemSyncAccessHandle>
}
interface FileSystemDirectoryHandle {
  readonly kind: 'directory'
  getDirectoryHandle(name: string, options?: { create?: boolean }): Promise<FileSystemDirectoryHandle>
  getFileHandle(name: string, options?: { create?: boolean }): Promise<FileSystemFileHandle>
  removeEntry(name: string, options?: { recursive?: boolean }): Promise<void>
  values(): AsyncIterable<FileSystemFileHandle | FileSystemDirectoryHandle>
}
interface BrowserStorage {
  getDirectory(): Promise<FileSystemDirectoryHandle>
  estimate(): Promise<{ usage?: number; quota?: number }>
}
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer
}
interface BrowserMessage {
  readonly data: unknown
}
/** What a page and its worker say to each other through. */
interface BrowserPort {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void
  addEventListener(type: 'message', listener: (event: BrowserMessage) => void): void
  addEventListener(type: 'error', listener: (event: { readonly message?: string }) => void): void
}
interface BrowserWorker extends BrowserPort {
  terminate(): void
}
