// The board's server: the page, and a stream of what its runs record.

import { Hono } from 'hono'
import { Board, type BoardEvent, Feed } from './feed.js'
import { pageFile } from './page-files.js'

/** The page follows within a second. */
const POLL_MS = 400

/** The page loads nothing from elsewhere and runs no code but its own. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data: blob:"

export interface BoardServer {
  readonly fetch: (request: Request) => Response | Promise<Response>
  /** Ends all streams. */
  close(): void
}

/** `assets`: the directory of the built page. */
export function createBoard(directory: string, assets: string): BoardServer {
  const board = new Board(directory)
  // The first page need not wait for it.
  board.update()
  const pages = new Set<() => void>()
  const closers = new Set<() => void>()
  let timer: NodeJS.Timeout | null = null
  const poll = () => {
    board.update()
    for (const send of pages) send()
  }

  const stream = (): ReadableStream<Uint8Array> => {
    const feed = new Feed(board)
    const encoder = new TextEncoder()
    let send = () => {}
    let close = () => {}
    const leave = () => {
      pages.delete(send)
      closers.delete(close)
      if (pages.size > 0 || timer === null) return
      clearInterval(timer)
      timer = null
    }
    return new ReadableStream({
      start(controller) {
        send = () => {
          // A page that does not read gets what is new when it does.
          if ((controller.desiredSize ?? 0) <= 0) return
          for (const event of feed.next()) controller.enqueue(encoder.encode(eventText(event)))
        }
        close = () => {
          leave()
          controller.close()
        }
        pages.add(send)
        closers.add(close)
        poll()
        timer ??= setInterval(poll, POLL_MS)
      },
      cancel: leave,
    })
  }

  const app = new Hono()
  app.get('/events', () => {
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }
    return new Response(stream(), { headers })
  })
  app.get('*', ({ req }) => pageFile(assets, req.path === '/' ? '/index.html' : req.path, POLICY))
  return {
    fetch: request => app.fetch(request),
    close: () => {
      for (const close of [...closers]) close()
    },
  }
}

function eventText(event: BoardEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}
