// What a study found, for a browser, a repository and a terminal: all three from results.json alone.

import type { StudyResults } from '../results.js'

export { renderMarkdown } from './markdown.js'
export { renderTable, type TableOptions } from './table.js'

/** report.html. The code that draws figures is loaded at the first call: most programs that use the library draw none. */
export async function renderReport(results: StudyResults): Promise<string> {
  const { renderStudyPage } = await import('./page.js')
  return renderStudyPage(results)
}
