// flicker-lm/server: an OpenAI-compatible server to mount anywhere.

export { Scheduler, type SchedulerCounts, type SchedulerOptions } from './scheduler.js'
export { createServer, type Server, type ServerOptions } from './server.js'
