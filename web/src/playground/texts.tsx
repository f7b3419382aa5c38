// The texts, side by side: every token can be chosen, by pointer or with the arrow keys, and then shows what else could
// have stood there.

import type { ShownToken } from './engines.js'

export interface Choice {
  readonly text: number
  readonly token: number
}

interface Props {
  readonly prompt: string
  readonly texts: readonly (readonly ShownToken[])[]
  readonly chosen: Choice | null
  readonly choose: (choice: Choice | null) => void
}

export function Texts({ prompt, texts, chosen, choose }: Props) {
  return (
    <div class="texts">
      {texts.map((tokens, text) => (
        <Text
          key={text}
          title={texts.length > 1 ? `Text ${text + 1}` : 'Text'}
          prompt={prompt}
          tokens={tokens}
          chosen={chosen?.text === text ? chosen.token : null}
          choose={token => choose(token === null ? null : { text, token })}
        />
      ))}
    </div>
  )
}

interface TextProps {
  readonly title: string
  readonly prompt: string
  readonly tokens: readonly ShownToken[]
  readonly chosen: number | null
  readonly choose: (token: number | null) => void
}

function Text({ title, prompt, tokens, chosen, choose }: TextProps) {
  const move = (event: KeyboardEvent, from: number) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tokens.length, End: tokens.length }[event.key]
    if (event.key === 'Escape') choose(null)
    if (step === undefined) return
    event.preventDefault()
    const to = Math.max(0, Math.min(tokens.length - 1, from + step))
    const line = (event.currentTarget as HTMLElement).parentElement
    line?.querySelectorAll<HTMLElement>('.token')[to]?.focus()
    choose(to)
  }
  // One token of a text can be reached with Tab; the arrow keys lead to the others.
  const reachable = chosen ?? 0
  return (
    <section class="text" aria-label={title}>
      <h2>{title}</h2>
      <p class="tokens">
        <span class="prompt">{prompt}</span>
        {tokens.map(({ shown, logprob }, i) => (
          <button
            key={i}
            type="button"
            class={shown === '' ? 'token blank' : 'token'}
            tabIndex={i === reachable ? 0 : -1}
            aria-pressed={i === chosen}
            aria-label={shown === '' ? 'a token without text of its own' : undefined}
            title={Number.isNaN(logprob) ? undefined : `${percent(logprob)} likely`}
            onClick={() => choose(i === chosen ? null : i)}
            onKeyDown={event => move(event, i)}
          >
            {shown === '' ? '·' : shown}
          </button>
        ))}
      </p>
      {chosen !== null && tokens[chosen] !== undefined && <Alternatives token={tokens[chosen]} />}
    </section>
  )
}

const percent = (logprob: number) => `${(100 * Math.exp(logprob)).toPrecision(3)} %`
const visible = (text: string) => JSON.stringify(text).slice(1, -1).replaceAll(' ', '␣')

function Alternatives({ token }: { readonly token: ShownToken }) {
  return (
    <div class="alternatives" role="status">
      <p>
        <b>{visible(token.shown) || 'This token'}</b> was {percent(token.logprob)} likely. At its place:
      </p>
      <ol>
        {token.alternatives.map(({ text, logprob }) => (
          <li key={text}>
            <span class="bar" style={{ width: `${100 * Math.exp(logprob)}%` }} />
            <code>{visible(text)}</code> <span>{percent(logprob)}</span>
          </li>
        ))}
      </ol>
    </div>
  )
}
