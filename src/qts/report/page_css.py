"""The CSS of the session report: light or dark, a phone or a wide screen, English or Korean, no script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qts.report.chart_style import PALETTE, RED_GAINS
from qts.runtime.session.result import GainColor

_RULES: Final = """
*, *::before, *::after { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR",
  "Noto Sans CJK KR", sans-serif; }
main, header, footer { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.6rem; }
h1 { font-size: 1.55rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.12rem; margin: 0 0 .2rem; letter-spacing: -.005em; }
h3 { font-size: .92rem; margin: 1.1rem 0 .35rem; }
p { margin: .25rem 0; }
.q { display: block; width: 100%; height: auto; overflow: visible; }
.q * { stroke-linejoin: round; stroke-linecap: butt; }
.q text { font-family: inherit; }
.c { display: block; width: calc(100% - 3.4rem); overflow: visible; margin: 1rem 0 .4rem; }
.c.timed { margin-bottom: 1.6rem; }
.c text { font-size: 11px; fill: var(--muted); }
.c .when { text-anchor: middle; }
.c .grid { stroke: var(--line); stroke-width: 1; }
.c path { vector-effect: non-scaling-stroke; }
.c .line { fill: none; stroke: var(--c); stroke-width: 1.4; stroke-linejoin: round; }
.c .dashed { stroke-dasharray: 3 3; opacity: .8; }
.c .area { fill: var(--c); opacity: .25; }
.c .wick { fill: none; stroke-width: 1; opacity: .75; }
.c .wick.up { stroke: var(--up); } .c .wick.down { stroke: var(--down); }
.c .body.up { fill: var(--up); } .c .body.down { fill: var(--down); }
.c use { stroke: var(--card); stroke-width: 1.2; paint-order: stroke; }
.c .buy { fill: var(--ink); } .c .sell.up { fill: var(--up); } .c .sell.down { fill: var(--down); }
.c .refused { fill: none; stroke: var(--warn); stroke-width: 1.4; opacity: .8; }
.c :target > use { stroke: var(--accent); stroke-width: 7; }
.shapes { position: absolute; }
figure h4 { font-size: .84rem; font-weight: 600; color: var(--muted); margin: .8rem 0 0; }
.chooser { display: flex; flex-wrap: wrap; gap: .3rem .5rem; font-size: .84rem; max-height: 9rem; overflow: auto; }
.chooser a { border: 1px solid var(--line); border-radius: 999px; padding: .05rem .6rem; color: var(--ink);
  text-decoration: none; white-space: nowrap; }
.chooser a:hover { border-color: var(--accent); color: var(--accent); }
.part { scroll-margin-top: 4rem; }
.part:not(:first-child):not(:target):not(:has(:target)) { display: none; }
.parts:has(> .part:not(:first-child):target, > .part:not(:first-child) :target) > .part:first-child {
  display: none; }
.halves { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2rem; }
.halves td.n { white-space: normal; }
.trips td { white-space: nowrap; }
.trips td:nth-child(n+5) { text-align: right; }
td a { color: var(--accent); }
.trips tr { scroll-margin-top: 6rem; }
.trips tr:target td { background: color-mix(in srgb, var(--accent) 18%, transparent); }
.heat { font-size: .8rem; }
.heat th, .heat td { text-align: right; padding: .3rem .45rem; border: 1px solid var(--card); }
.heat tbody th { position: sticky; left: 0; background: var(--card); z-index: 1; }
.heat td { background: color-mix(in srgb, var(--c, transparent) var(--a, 0%), transparent); }
.heat .total { font-weight: 650; }
.muted, figcaption, .note { color: var(--muted); font-size: .86rem; }
.top { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: flex-start; justify-content: space-between; }
.switches { display: flex; gap: .5rem; font-size: .8rem; }
.switches fieldset { border: 1px solid var(--line); border-radius: 999px; margin: 0; padding: 2px; display: flex;
  background: var(--card); }
.switches legend { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.switches input { position: absolute; opacity: 0; pointer-events: none; }
.switches label { padding: .12rem .65rem; border-radius: 999px; color: var(--muted); cursor: pointer; }
.switches input:checked + label { background: var(--ink); color: var(--card); }
.switches input:focus-visible + label { outline: 2px solid var(--accent); outline-offset: 1px; }
nav { position: sticky; top: 0; z-index: 5; background: var(--page); border-bottom: 1px solid var(--line);
  margin: .9rem 0 1.1rem; }
nav div { max-width: 74rem; margin: 0 auto; padding: .45rem 1.25rem; display: flex; gap: 1.1rem; overflow-x: auto;
  white-space: nowrap; font-size: .86rem; scrollbar-width: none; }
nav a { color: var(--muted); text-decoration: none; }
nav a:hover { color: var(--ink); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.1rem 1.25rem 1.2rem; margin: 0 0 1.1rem; scroll-margin-top: 3.2rem; min-width: 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.1rem; }
figure { margin: .5rem 0 0; }
figcaption { margin-top: .35rem; }
.narrow { display: none; }
.key { display: flex; flex-wrap: wrap; gap: .15rem 1rem; font-size: .84rem; color: var(--muted); margin: .35rem 0 0;
  padding: 0; list-style: none; }
.key b { display: inline-block; width: .95em; height: .95em; border-radius: 3px; margin-right: .4em;
  vertical-align: -.12em; background: var(--c); }
.key b.ring { background: none; border: 2px solid var(--c); border-radius: 50%; }
.key b.up, .key b.down { background: none; width: auto; height: auto; color: var(--c); vertical-align: 0;
  font-weight: 400; }
.key b.pale { opacity: .42; }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem; margin: 0 0 1.1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .75rem 1rem .8rem;
  min-width: 0; }
.card .name { color: var(--muted); font-size: .8rem; }
.card .big { font-size: 1.5rem; font-weight: 650; letter-spacing: -.02em; line-height: 1.25;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.card .sub { color: var(--muted); font-size: .82rem; font-variant-numeric: tabular-nums; }
.up { color: var(--up); } .down { color: var(--down); } .bad { color: var(--bad); }
.verdict { border-radius: 12px; padding: .8rem 1.1rem; margin: 0 0 1.1rem; border: 1px solid var(--line);
  border-left: 6px solid var(--c); background: var(--card); }
.verdict strong { color: var(--c); }
.chip { display: inline-block; padding: 0 .55em; border-radius: 999px; font-size: .8em; line-height: 1.65;
  font-weight: 600; border: 1px solid var(--c); color: var(--c); white-space: nowrap; }
.chip.unsaid { border-style: dashed; }
.bar { display: flex; height: .7rem; border-radius: 4px; overflow: hidden; margin: .5rem 0 .1rem; }
.bar i { background: var(--c); min-width: 2px; }
.scroll { overflow: auto; max-height: 27rem; margin: .45rem 0 0; border-top: 1px solid var(--line); }
.tall .scroll { max-height: none; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: var(--card); color: var(--muted); font-weight: 600; font-size: .8rem;
  white-space: nowrap; }
th, td { text-align: left; vertical-align: top;
  padding: .34rem .9rem .34rem 0; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
.notes { margin: .3rem 0; padding-left: 1.1rem; font-size: .9rem; }
.big .chip { font-size: .62em; vertical-align: .2em; }
.n { text-align: right; white-space: nowrap; }
.t { white-space: nowrap; }
.ko { word-break: keep-all; }
.none { color: var(--muted); }
.mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  font-size: .92em; overflow-wrap: anywhere; }
.gauge { display: block; height: 4px; border-radius: 2px;
  background: var(--c); margin-top: .25rem; min-width: 2px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem;
  margin: .5rem 0 0; font-size: .9rem; }
dt { color: var(--muted); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
footer { color: var(--muted); font-size: .82rem; padding-bottom: 2.5rem; }
:root:not(:has(#ko:checked)) :is(h1, h2, h3) > .ko, :root:has(#ko:checked) :is(h1, h2, h3) > .en {
  color: var(--muted); font-weight: 500; font-size: .82em; }
:is(h1, h2, h3):has(> .ko) { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: .6em; }
:root:has(#ko:checked) :is(h1, h2, h3) > .en { order: 1; }
:root:not(:has(#ko:checked)) .ko:not(:is(h1, h2, h3) > .ko) { display: none; }
:root:has(#ko:checked) .en:not(:is(h1, h2, h3) > .en) { display: none; }
@media (max-width: 860px) {
  .cards { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .pair, .halves { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 620px) {
  main, header, footer { padding: 0 .75rem; }
  header { padding-top: 1rem; }
  nav div { padding: .45rem .75rem; }
  section { padding: .85rem .8rem .9rem; }
  .card { padding: .6rem .75rem; }
  .card .big { font-size: 1.16rem; }
  .two .wide { display: none; }
  .two .narrow { display: block; }
  .prose { min-width: 18rem; }
  .c .odd { display: none; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .4rem; }
}
@media print {
  nav, .switches { display: none; }
  .scroll { max-height: none; overflow: visible; }
  .chooser { display: none; }
  .parts > .part { display: block !important; }
  section, .card { break-inside: avoid; }
}
"""


def stylesheet(gain_color: GainColor = "auto") -> str:
    """Return the variables of both themes, then the rules. Without a choice the reader's own setting decides.

    ``gain_color`` "auto": gains are green in English and red in Korean.
    """
    palette = {**PALETTE, **RED_GAINS} if gain_color == "red" else PALETTE
    bright, dark = _variables(palette, 0), _variables(palette, 1)
    themes = [
        f":root {{ color-scheme: light dark; {bright} }}",
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}",
        f":root:has(#light:checked) {{ color-scheme: light; {bright} }}",
        f":root:has(#dark:checked) {{ color-scheme: dark; {dark} }}",
    ]
    if gain_color == "auto":
        bright, dark = _variables(RED_GAINS, 0), _variables(RED_GAINS, 1)
        themes += [
            f":root:has(#ko:checked) {{ {bright} }}",
            f"@media (prefers-color-scheme: dark) {{ :root:has(#ko:checked) {{ {dark} }} }}",
            f":root:has(#ko:checked):has(#light:checked) {{ {bright} }}",
            f":root:has(#ko:checked):has(#dark:checked) {{ {dark} }}",
        ]
    return "\n".join((*themes, _RULES.strip(), ""))


def _variables(palette: Mapping[str, tuple[str, str]], which: int) -> str:
    return " ".join(f"--{name}: {pair[which]};" for name, pair in palette.items())
