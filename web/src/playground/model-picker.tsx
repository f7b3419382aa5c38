// Where the model is from: an address, files of this machine (chosen or dropped), or the server behind the page.

import { useEffect, useRef, useState } from 'preact/hooks'
import { cachedModels, removeCachedModel } from '../../../dist/browser/index.js'
import type { ServerModel } from './engines.js'
import type { LastModel } from './settings.js'

interface Props {
  readonly last: LastModel
  readonly busy: boolean
  readonly servers: readonly ServerModel[]
  readonly loadUrl: (model: LastModel, backend: string) => void
  readonly loadFiles: (files: readonly File[], tokenizer: string, backend: string) => void
  readonly useServer: (model: ServerModel) => void
}

interface Kept {
  readonly url: string
  readonly bytes: number
  readonly complete: boolean
}

export function ModelPicker({ last, busy, servers, loadUrl, loadFiles, useServer }: Props) {
  const [url, setUrl] = useState(last.url)
  const [tokenizer, setTokenizer] = useState(last.tokenizer)
  const [backend, setBackend] = useState('')
  const [kept, setKept] = useState<readonly Kept[]>([])
  const [over, setOver] = useState(false)
  const files = useRef<HTMLInputElement>(null)

  const look = () => {
    cachedModels().then(setKept, () => {})
  }
  useEffect(() => {
    if (!busy) look()
  }, [busy])

  useEffect(() => {
    const drop = (event: DragEvent) => {
      event.preventDefault()
      setOver(false)
      void droppedFiles(event.dataTransfer).then(found => {
        if (found.length > 0) loadFiles(found, tokenizer, backend)
      })
    }
    const drag = (event: DragEvent) => {
      event.preventDefault()
      setOver(event.type === 'dragover')
    }
    addEventListener('drop', drop)
    addEventListener('dragover', drag)
    addEventListener('dragleave', drag)
    return () => {
      removeEventListener('drop', drop)
      removeEventListener('dragover', drag)
      removeEventListener('dragleave', drag)
    }
  }, [loadFiles, tokenizer, backend])

  return (
    <form
      class={over ? 'picker over' : 'picker'}
      aria-label="Model"
      onSubmit={event => {
        event.preventDefault()
        loadUrl({ url: url.trim(), tokenizer: tokenizer.trim() }, backend)
      }}
    >
      <label class="wide">
        Model
        <input
          name="model"
          type="text"
          inputMode="url"
          spellcheck={false}
          required
          list="kept-models"
          placeholder="URL of a .gguf, a model.bin or a directory, or hf:owner/name"
          value={url}
          onInput={event => setUrl(event.currentTarget.value)}
        />
      </label>
      <datalist id="kept-models">
        {kept.map(({ url: known }) => (
          <option key={known} value={known} />
        ))}
      </datalist>
      <button type="submit" class="main" disabled={busy}>
        Load
      </button>
      <button type="button" disabled={busy} onClick={() => files.current?.click()}>
        Choose files…
      </button>
      <input
        ref={files}
        name="files"
        type="file"
        multiple
        hidden
        onChange={event => {
          const chosen = [...(event.currentTarget.files ?? [])]
          if (chosen.length > 0) loadFiles(chosen, tokenizer, backend)
        }}
      />
      {servers.map(model => (
        <button key={model.name} type="button" onClick={() => useServer(model)}>
          {model.name} on the server
        </button>
      ))}
      <details class="wide">
        <summary>More</summary>
        <label>
          Tokenizer
          <input
            name="tokenizer"
            type="text"
            spellcheck={false}
            placeholder="URL, where the model has none"
            value={tokenizer}
            onInput={event => setTokenizer(event.currentTarget.value)}
          />
        </label>
        <label>
          Run on
          <select name="backend" value={backend} onChange={event => setBackend(event.currentTarget.value)}>
            <option value="">WebAssembly</option>
            <option value="webgpu">WebGPU</option>
            <option value="portable">TypeScript</option>
          </select>
        </label>
        {kept.length > 0 && (
          <ul class="kept" aria-label="Kept in this browser">
            {kept.map(({ url: known, bytes, complete }) => (
              <li key={known}>
                <span>{known}</span> {(bytes / 1e6).toFixed(1)} MB{complete ? '' : ', unfinished'}
                <button
                  type="button"
                  aria-label={`Remove ${known}`}
                  onClick={() => removeCachedModel(known).then(look)}
                >
                  Remove
                </button>
              </li>
            ))}
          </ul>
        )}
      </details>
    </form>
  )
}

/** The dropped files, of a dropped directory those in it. */
async function droppedFiles(data: DataTransfer | null): Promise<File[]> {
  const entries = [...(data?.items ?? [])].flatMap(item => item.webkitGetAsEntry() ?? [])
  const directory = entries.find(entry => entry.isDirectory) as FileSystemDirectoryEntry | undefined
  if (directory === undefined) return [...(data?.files ?? [])]
  const reader = directory.createReader()
  const found: File[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    )
    if (some.length === 0) return found
    for (const entry of some.filter(({ isFile }) => isFile)) {
      found.push(
        await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
      )
    }
  }
}
