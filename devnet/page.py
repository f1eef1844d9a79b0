"""The look of the report: one self-contained page, light, readable on paper too."""

from __future__ import annotations

from typing import Final

FIRST: Final = "#c8643c"
"""The colour of the first run, everywhere."""

SECOND: Final = "#1f5f8b"
"""The colour of the second run, everywhere."""

STYLE: Final = """
:root { --ink: #1d2430; --soft: #5b6675; --line: #dfe3e8; --paper: #fcfcfa; --first: #c8643c; --second: #1f5f8b; }
* { box-sizing: border-box; }
html { background: var(--paper); }
body { margin: 0 auto; max-width: 62rem; padding: 4rem 2rem 6rem; color: var(--ink);
  font: 16px/1.55 "Source Sans 3", "Segoe UI", "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font: 600 2.35rem/1.15 Charter, "Source Serif 4", Georgia, "Liberation Serif", serif; margin: 0 0 .6rem;
  letter-spacing: -.01em; }
h2 { font: 600 1.35rem/1.25 Charter, "Source Serif 4", Georgia, "Liberation Serif", serif; margin: 3.4rem 0 .5rem; }
p { max-width: 42rem; margin: .5rem 0 1rem; }
.stand { font-size: 1.12rem; color: var(--soft); }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; margin: 2.2rem 0 0; background: var(--line);
  border: solid var(--line); border-width: 1px 0; }
.figures div { background: var(--paper); padding: 1rem .9rem 1rem 1rem; }
.figures div:first-child { padding-left: 0; }
.figures b { display: block; font: 600 1.75rem/1.2 Charter, Georgia, "Liberation Serif", serif; }
.figures span { color: var(--soft); font-size: .88rem; line-height: 1.35; display: block; }
figure { margin: 1.4rem 0 0; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit !important; }
figcaption, caption { color: var(--soft); font-size: .88rem; text-align: left; }
figcaption { margin-top: .6rem; max-width: 42rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; line-height: 1.4; margin: 1rem 0 0; }
caption { caption-side: bottom; padding-top: .6rem; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--ink); }
th, td { padding: .42rem .9rem .42rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
.plan td:nth-child(-n+5), .trail td:first-child, .trail td:nth-child(n+4) { white-space: nowrap; }
tr.no td { background: #fbeee7; }
pre { font: .82rem/1.55 "Source Code Pro", Menlo, Consolas, "Liberation Mono", monospace; margin: 1rem 0 0;
  padding: .9rem 1.1rem; background: #f1f2ef; border-left: 3px solid var(--line); white-space: pre-wrap;
  overflow-wrap: anywhere; }
pre.no { border-left-color: var(--first); }
pre.yes { border-left-color: var(--second); }
code { font: .92em "Source Code Pro", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere; }
.bars { display: grid; grid-template-columns: minmax(12rem, 25rem) 1fr; gap: .3rem 1.2rem; font-size: .88rem;
  margin-top: 1rem; }
.bars i { display: inline-block; height: .62rem; background: var(--second); margin-right: .5rem; border-radius: 1px; }
.bars span { color: var(--soft); white-space: nowrap; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .88rem; }
@media (max-width: 44rem) { .figures { grid-template-columns: 1fr 1fr; } body { padding: 2rem 1.1rem; } }
@media (max-width: 62rem) { .plan td, .trail td { white-space: normal !important; } }
@media print { body { padding: 0; max-width: none; } h2 { break-after: avoid; } tr, figure { break-inside: avoid; } }
"""
