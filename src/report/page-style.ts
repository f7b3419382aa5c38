// The style sheet of every page: one column that reads on a phone, wide figures on a wide screen, both schemes.

import { paletteCss } from './palette.js'

/** Below this width of the window the narrow drawings are shown. */
const NARROW = '(max-width: 720px)'

export const PAGE_STYLE = `
:root{${paletteCss('light')};color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{${paletteCss('dark')}}}
@media print{:root{${paletteCss('light')}}details:not([open])>:not(summary){display:revert}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:2.5rem 1.25rem 4rem}
header p,.findings,figcaption,.note,.runs{max-width:46rem}
.kicker{margin:0;color:var(--ink-soft);font-size:.875rem}
h1{font-size:clamp(1.6rem,4.5vw,2.3rem);line-height:1.2;letter-spacing:-.015em;margin:.25rem 0 1rem;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.3rem;line-height:1.3;margin:3.25rem 0 .5rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1rem;line-height:1.4;margin:1.75rem 0 .5rem;overflow-wrap:anywhere}
p{margin:.5rem 0;overflow-wrap:anywhere}
a{color:inherit;text-underline-offset:.2em;text-decoration-color:var(--ink-soft)}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin-top:1.25rem;font-size:.9375rem}
.findings{margin:1.25rem 0 0;padding:.85rem 1.1rem .85rem 2rem;background:var(--panel);border-radius:6px;overflow-wrap:anywhere}
.findings li+li{margin-top:.35rem}
.note,figcaption,.facts dt{color:var(--ink-soft)}
.note,figcaption{font-size:.9375rem}
.scroll{overflow-x:auto;margin:1rem 0;-webkit-overflow-scrolling:touch}
.scroll:focus-visible,summary:focus-visible,a:focus-visible,button:focus-visible{outline:2px solid var(--run-1);outline-offset:2px}
table{border-collapse:collapse;font-size:.9375rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:.45rem .6rem;text-align:right;vertical-align:baseline;white-space:nowrap}
thead th{font-weight:500;color:var(--ink-soft);font-size:.8125rem;line-height:1.3;vertical-align:bottom;white-space:normal;min-width:4.1rem;max-width:8rem;hyphens:manual}
thead th[colspan]{text-align:center;white-space:nowrap;max-width:none}
thead tr:last-child th{border-bottom:1.5px solid var(--ink-soft)}
tbody th,tbody td{border-bottom:1px solid var(--line)}
tbody th{text-align:left;font-weight:600;white-space:normal;min-width:8.5rem;max-width:16rem;overflow-wrap:anywhere;position:sticky;left:0;background:var(--page)}
thead tr:first-child th:first-child{text-align:left;position:sticky;left:0;background:var(--page)}
tbody th .plot{margin-right:.35rem}
.group{border-left:1px solid var(--line)}
.best{font-weight:700}
.best b{background:var(--best);padding:.1rem .3rem;margin:0 -.3rem;border-radius:3px}
.runs{padding:0;list-style:none;font-size:.9375rem}
.runs li{margin:.35rem 0;overflow-wrap:anywhere}
figure{margin:1rem 0 0}
figcaption{margin-top:.5rem}
.plot{display:block;max-width:100%;height:auto;overflow:visible;font-family:system-ui,sans-serif}
.plot text{white-space:pre}
.drawing .plot{width:100%}
.narrow{display:none}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1.2rem;margin:.5rem 0 .75rem;padding:0;list-style:none;font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.45rem;overflow-wrap:anywhere}
.legend .plot,tbody th .plot,h3 .plot,.runs .plot{flex:none;display:inline-block;vertical-align:middle}
.legend button{display:flex;align-items:center;gap:.45rem;border:0;padding:.15rem .3rem;margin-left:-.3rem;background:none;color:inherit;font:inherit;text-align:left;border-radius:4px;overflow-wrap:anywhere}
.scripted .legend button{cursor:pointer}
.legend button[aria-pressed=false]{opacity:.4;text-decoration:line-through}
.csv,.tools button{display:none;border:1px solid var(--line);border-radius:4px;background:var(--panel);color:var(--ink-soft);font:inherit;font-size:.8125rem;padding:.1rem .55rem;cursor:pointer;white-space:nowrap}
.scripted .csv,.scripted .tools button{display:inline-block}
.tools{margin-top:2rem}
.tip{position:fixed;z-index:9;max-width:min(20rem,90vw);padding:.3rem .55rem;border:1px solid var(--line);border-radius:5px;background:var(--panel);color:var(--ink);font-size:.8125rem;line-height:1.4;white-space:pre-line;pointer-events:none;font-variant-numeric:tabular-nums;box-shadow:0 2px 8px rgb(0 0 0/.18)}
.tip[hidden]{display:none}
.hint{display:none;margin:-.6rem 0 .6rem;font-size:.8125rem;color:var(--ink-soft)}
.labeled .legend{display:none}
.scripted .labeled .legend{display:flex}
.panels{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:.5rem 2rem}
.scale{display:flex;align-items:center;gap:.5rem;font-size:.8125rem;color:var(--ink-soft);max-width:22rem}
.scale .plot{flex:1 1 auto;min-width:0}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,29rem),1fr));gap:.9rem 1.5rem}
.sample{margin:0;min-width:0}
.sample figcaption{margin:0 0 .25rem;font-size:.8125rem;font-variant-numeric:tabular-nums}
pre{margin:0;padding:.7rem .85rem;background:var(--panel);border-radius:6px;font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;tab-size:4}
.prompt{font-weight:700}
.shared{color:var(--ink-soft)}
summary{cursor:pointer;font-size:.875rem;color:var(--ink-soft);padding:.3rem 0;overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1.2rem;font-size:.9375rem}
.facts dd{margin:0;overflow-wrap:anywhere}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media ${NARROW}{
main{padding:1.5rem 1rem 3rem}
.wide{display:none}
.narrow{display:block}
.labeled .legend{display:flex}
.hint{display:block}
.panels{grid-template-columns:minmax(0,1fr)}
.facts{grid-template-columns:minmax(0,1fr)}
.facts dd{margin-bottom:.4rem}
tbody th{min-width:7rem;max-width:9rem;overflow-wrap:break-word}
th,td{padding:.45rem .5rem}
}
`
