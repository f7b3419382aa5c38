// Files that a user names and that never end: pipes and devices are refused at once by every reader. The readers run in
// a process of their own, since one that waits for a pipe would hold up the tests.

import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { readRegularFile, UnreadFile } from '../src/regular-file.js'
import { temporaryDirectories } from './data/temporary.js'

const directory = temporaryDirectories()

describe('a file that a user names', () => {
  it('is read up to the limit, and not beyond it', () => {
    const file = path.join(directory({ 'a.txt': 'four' }), 'a.txt')
    expect(readRegularFile(file, 4).toString()).toBe('four')
    expect(() => readRegularFile(file, 3)).toThrow(
      new UnreadFile('too-large', 'has 4 bytes, more than the limit of 3'),
    )
  })

  const main = path.resolve('dist/index.js')
  const readers: [what: string, name: string, code: string, call: string][] = [
    ['an activation', 'a.mjs', 'ACTIVATION_FILE_FAILED', 'activations.loadActivationFile(file)'],
    [
      'a chat template',
      'chat_template.jinja',
      'CHAT_TEMPLATE_FILE',
      'directory.readHuggingFaceDirectory(folder)',
    ],
    ['a config', 'config.json', 'CHECKPOINT_FILE_MISSING', 'directory.readHuggingFaceDirectory(folder)'],
    [
      'a tokenizer config',
      'tokenizer_config.json',
      'TOKENIZER_CONFIG_INVALID',
      'config.readTokenizerConfig(folder)',
    ],
    ['a tokenizer', 'tokenizer.json', 'TOKENIZER_UNREADABLE', 'tokenizers.loadTokenizer(file)'],
    ['a corpus', 'corpus.txt', 'CORPUS_UNREADABLE', 'corpus.loadCorpus(file)'],
    ['a GGUF model', 'a.gguf', 'CHECKPOINT_FILE_MISSING', 'bytes.openFileBytes(file, "X")'],
    ['a safetensors model', 'a.safetensors', 'SAFETENSORS_INVALID', 'safetensors.openSafetensors(file)'],
  ]
  const modules = {
    activations: 'activations/activation-file',
    directory: 'formats/huggingface/directory',
    config: 'data/tokenizers/tokenizer-config',
    tokenizers: 'data/tokenizers/load',
    corpus: 'data/corpus',
    bytes: 'formats/file-bytes',
    safetensors: 'formats/safetensors',
  }

  it.each(readers)('%s that is a pipe or a device is refused at once', (_, name, code, call) => {
    for (const kind of ['pipe', 'device']) {
      const folder = directory({ 'config.json': name === 'config.json' ? '' : JSON.stringify(llama) })
      const file = path.join(folder, name)
      fs.rmSync(file, { force: true })
      if (kind === 'pipe') execFileSync('mkfifo', [file])
      else fs.symlinkSync('/dev/zero', file)
      const used = call.slice(0, call.indexOf('.')) as keyof typeof modules
      const source = path.join(path.dirname(main), `${modules[used]}.js`)
      const program = `import * as ${used} from ${JSON.stringify(source)}
        const [folder, file] = process.argv.slice(1)
        try { ${call} } catch (error) { process.stdout.write(String(error.code)) }`
      const { stdout } = spawnSync(
        process.execPath,
        ['--max-old-space-size=512', '--input-type=module', '-e', program, folder, file],
        { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' },
      )
      expect(stdout, kind).toBe(code)
    }
  })
})

const llama = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  vocab_size: 256,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  hidden_act: 'silu',
  tie_word_embeddings: true,
}
