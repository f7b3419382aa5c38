// Server-sent events, pulled: the next part is made when the client has taken the one before, so that a slow client holds
// up its own request and no memory.

/**
 * A stream of `data: …` events, then `data: [DONE]`. `failure`: what is sent in place of the rest when `parts` throws.
 * When the client goes, `canceled` is called.
 */
export function eventStream(
  parts: AsyncIterator<unknown>,
  failure: (error: unknown) => unknown,
  canceled: () => void,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const event = (text: string) => encoder.encode(`data: ${text}\n\n`)
  let gone = false
  return new ReadableStream(
    {
      async pull(controller) {
        let text: string
        let last = true
        try {
          const { done, value } = await parts.next()
          last = done === true
          text = last ? '[DONE]' : JSON.stringify(value)
        } catch (error) {
          text = JSON.stringify(failure(error))
        }
        // It may have gone while the part was made.
        if (gone) return
        controller.enqueue(event(text))
        if (last) controller.close()
      },
      cancel() {
        gone = true
        canceled()
      },
    },
    { highWaterMark: 0 },
  )
}
