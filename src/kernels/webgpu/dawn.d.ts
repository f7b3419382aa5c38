// The part of the optional package webgpu that is used here: it need not be installed to compile.
declare module 'webgpu' {
  export function create(flags: string[]): GPU
}
