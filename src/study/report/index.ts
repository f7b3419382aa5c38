// What a study found, for a browser, a repository and a terminal: all three from results.json alone.

export * from './figures/index.js'
export { renderMarkdown } from './markdown.js'
export { renderReport } from './page.js'
export { renderTable, type TableOptions } from './table.js'
