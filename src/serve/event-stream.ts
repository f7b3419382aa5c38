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
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await parts.next()
          if (done !== true) return controller.enqueue(event(JSON.stringify(value)))
          controller.enqueue(event('[DONE]'))
        } catch (error) {
          controller.enqueue(event(JSON.stringify(failure(error))))
        }
        controller.close()
      },
      cancel: canceled,
    },
    { highWaterMark: 0 },
  )
}
