"""How a page looks: the frame of the page, its style, its script."""

from __future__ import annotations

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{page}{style}</style>
</head>
<body>
<main class="symprop">
{body}</main>
{script}</body>
</html>
"""

PAGE_STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { margin: 0; font: 1.0625rem/1.55 Charter, "Bitstream Charter", Cambria, serif; }
main { box-sizing: border-box; max-width: 56rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
@page { margin: 2cm; }
@media print {
  :root { color-scheme: light; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
}
"""

STYLE = """
.symprop { container: symprop / inline-size; overflow-wrap: break-word; }
.symprop math { font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", math; }
.symprop :is(h1, h2, h3, h4) { line-height: 1.25; break-after: avoid; text-wrap: balance; }
.symprop h1 { margin: 0 0 1rem; font-size: 1.7em; }
.symprop h2 { margin: 2.2em 0 .6em; padding-bottom: .2em; font-size: 1.3em;
  border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
.symprop h3 { margin: 1.6em 0 .4em; font-size: 1.1em; }
.symprop p { max-width: 42em; margin: .9em 0 .5em; }
.symprop nav { margin: 1em 0 1.5em; }
.symprop nav ol { margin: 0; padding-left: 1.6em; columns: 18em auto; }
.symprop .scroll { overflow: auto hidden; }
.symprop table { border-collapse: collapse; margin: .5em 0; }
.symprop :is(th, td) { padding: .25em 1.4em .25em .2em; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.symprop th { font-size: .85em; }
.symprop :is(.caption, .note, .number, th) {
  color: color-mix(in srgb, currentColor 72%, transparent); }
.symprop .formulas { display: grid; margin: .6em 0; padding: .15em .6em;
  grid-template-columns: 7em fit-content(50%) minmax(0, 1fr) auto;
  border-left: 3px solid transparent; }
.symprop .important { border-left-color: currentColor; border-radius: 3px;
  background: color-mix(in srgb, currentColor 7%, transparent); print-color-adjust: exact; }
.symprop .row { display: grid; grid-column: 1 / -1; grid-template-columns: subgrid;
  align-items: baseline; break-inside: avoid; scroll-margin: 1em; }
.symprop .row + .row:has(> .caption) { padding-top: .25em; }
.symprop .row:target { outline: 2px solid Highlight; outline-offset: 1px; }
.symprop .caption { grid-column: 1; padding-right: .8em; font-size: .85em; }
.symprop .target { grid-column: 2; overflow: auto hidden; padding: .3em 0; text-align: right; }
.symprop .inner { padding-left: 1.6em; }
.symprop .heading { grid-column: 2 / 4; padding: .3em 0; }
.symprop .value { grid-column: 3; display: flex; flex-wrap: wrap; align-items: baseline;
  column-gap: 2em; min-width: 0; }
.symprop .value .scroll { min-width: min(16em, 100%); max-width: 100%; padding: .3em 0; }
.symprop .note { max-width: 24em; padding-left: .3em; font-size: .85em; line-height: 1.35; }
.symprop .number { grid-column: 4; padding-left: .8em; }
.symprop details { margin: .6em 0; padding-left: .9em;
  border-left: 2px solid color-mix(in srgb, currentColor 20%, transparent); }
.symprop summary { margin-left: -.4em; padding: .15em 0; cursor: pointer; }
.symprop :is(summary, .scroll, a, button):focus-visible { outline: 2px solid Highlight; }
@container symprop (max-width: 34em) {
  .symprop .formulas { grid-template-columns: 0 fit-content(50%) minmax(0, 1fr) auto; }
  .symprop .caption { grid-column: 1 / -1; padding-top: .5em; }
  .symprop h1 { font-size: 1.45em; }
}
@media print {
  .symprop details::details-content { content-visibility: visible; block-size: auto; }
  .symprop .scroll, .symprop .target { overflow: visible; }
  .symprop .formulas { break-inside: avoid; }
  .symprop .folds { display: none; }
}
"""
"""Colours follow the text's own, so that it reads on white as well as on black."""

SCRIPT = """<script>
const folds = [...document.querySelectorAll("details")];
const all = (open) => folds.forEach((fold) => { fold.open = open; });
const line = document.querySelector(".folds");
line.hidden = false;
line.firstElementChild.onclick = () => all(true);
line.lastElementChild.onclick = () => all(false);
let closed = [];
addEventListener("beforeprint", () => { closed = folds.filter((fold) => !fold.open); all(true); });
addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
</script>
"""

BUTTONS = """<p class="folds" hidden><button type="button">Open all steps</button>
<button type="button">Close all steps</button></p>
"""
