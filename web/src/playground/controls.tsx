// The prompt and what a text is generated with.

import type { Settings } from './settings.js'

interface Props {
  readonly settings: Settings
  readonly change: (part: Partial<Settings>) => void
  readonly ready: boolean
  readonly running: boolean
  readonly start: () => void
  readonly stop: () => void
}

export function Controls({ settings, change, ready, running, start, stop }: Props) {
  const number = (
    name: keyof Settings,
    label: string,
    limits: { min: number; max: number; step: number },
  ) => (
    <label>
      {label}
      <input
        name={name}
        type="number"
        {...limits}
        value={Number(settings[name])}
        onChange={event => {
          const value = event.currentTarget.valueAsNumber
          if (value >= limits.min && value <= limits.max) change({ [name]: value })
          else event.currentTarget.value = String(settings[name])
        }}
      />
    </label>
  )
  return (
    <form
      class="controls"
      aria-label="Generation"
      onSubmit={event => {
        event.preventDefault()
        if (running) stop()
        else if (ready) start()
      }}
    >
      <label class="wide">
        Prompt
        <textarea
          name="prompt"
          rows={3}
          value={settings.prompt}
          onInput={event => change({ prompt: event.currentTarget.value })}
          onKeyDown={event => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
            event.preventDefault()
            event.currentTarget.form?.requestSubmit()
          }}
        />
      </label>
      <div class="row">
        <button type="submit" class="main" disabled={!ready && !running}>
          {running ? 'Stop' : 'Generate'}
        </button>
        {number('maxTokens', 'Tokens', { min: 1, max: 4096, step: 1 })}
        {number('temperature', 'Temperature', { min: 0, max: 5, step: 0.1 })}
        {number('topP', 'Top p', { min: 0.01, max: 1, step: 0.01 })}
        {number('seed', 'Seed', { min: 0, max: 2 ** 31, step: 1 })}
        {number('n', 'Texts', { min: 1, max: 8, step: 1 })}
      </div>
      <div class="row">
        <label class="check">
          <input
            name="stocha"
            type="checkbox"
            checked={settings.p !== null}
            onChange={event => change({ p: event.currentTarget.checked ? 0.3 : null })}
          />
          StochA: neurons below zero are drawn
        </label>
        <label class="slider">
          p
          <input
            class="along"
            name="p"
            type="range"
            min={0}
            max={1}
            step={0.01}
            disabled={settings.p === null}
            value={settings.p ?? 0.3}
            aria-valuetext={`p ${(settings.p ?? 0.3).toFixed(2)}`}
            onInput={event => change({ p: event.currentTarget.valueAsNumber })}
          />
          <output>{(settings.p ?? 0.3).toFixed(2)}</output>
        </label>
      </div>
    </form>
  )
}
