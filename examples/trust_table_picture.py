"""The picture of shifts in the trust table: a matrix for each kind, a cell for each pair, drawn from the tables."""

from html import escape
from typing import Any

SIDE, LEFT, TOP, GAP = 34, 165, 140, 30
"""Of a cell, and room for names, in pixels."""

PROMISED, FEW = 0.2, 3.0
NAMES = {"collections": "other photographs", "makings": "other inputs", "networks": "another network"}
KEPT, LITTLE, MUCH = "#cfe8d5", "#f6d9a8", "#e9a19a"
STYLE = """text{font:12px sans-serif;fill:#222}.b{font-weight:bold;font-size:15px}.n{font-size:11px}
.u{fill:none;stroke:#a00;stroke-width:3}@media (prefers-color-scheme:dark){.o{fill:#ddd}}"""


def picture(tables: dict[str, Any]) -> str:
    """An SVG of the three tables of shifts."""
    parts, top, width = [], 60, 0
    for kind, title in NAMES.items():
        rows = tables.get(f"shift, {kind}", {"rows": []})["rows"]
        names = list(dict.fromkeys(row[0] for row in rows))
        if len(names) < 2:
            continue
        parts.append(f'<text class="b o" x="8" y="{top}">Calibrated on the row, used on the column: {title}</text>')
        parts += [cell(row, names, top + TOP) for row in rows]
        for place, name in enumerate(names):
            middle = place * SIDE + SIDE / 2
            said = escape(name)
            right, up = LEFT + middle + 4, top + TOP - 6
            parts.append(f'<text class="o" x="{LEFT - 6}" y="{top + TOP + middle + 4}" text-anchor="end">{said}</text>')
            parts.append(f'<text class="o" x="{right}" y="{up}" transform="rotate(-55 {right} {up})">{said}</text>')
        top += TOP + SIDE * len(names) + 2 * GAP
        width = max(width, LEFT + SIDE * len(names) + 120)
    promise = f"Promised: at most {100 * PROMISED:.0f}. Green: kept. Yellow, red: above."
    said = f"Invented detail left unhatched, in percent. {promise}"
    notes = [said, "Framed: above and mostly not noticed. Dot: noticed in at least half of the batches."]
    parts += [f'<text class="o" x="8" y="{18 + 17 * place}">{line}</text>' for place, line in enumerate(notes)]
    width = max(width, 620)
    size = f'width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{STYLE}</style>\n{body}\n</svg>\n'


def cell(row: list[str], names: list[str], top: float) -> str:
    """One pair: its colour, its risk, a dot where it was noticed, a frame where it is above and was not."""
    risk, error = map(float, row[2].split("±"))
    noticed, above = int(row[4]) >= 50, risk > PROMISED + FEW * error
    x, y = LEFT + SIDE * names.index(row[1]), top + SIDE * names.index(row[0])
    colour = KEPT if risk <= PROMISED + FEW * error else LITTLE if risk <= 2 * PROMISED else MUCH
    inner = SIDE - 2
    parts = [f'<rect x="{x}" y="{y}" width="{inner}" height="{inner}" fill="{colour}"/>']
    parts.append(f'<text class="n" x="{x + inner / 2}" y="{y + 20}" text-anchor="middle">{100 * risk:.0f}</text>')
    if noticed:
        parts.append(f'<circle cx="{x + inner - 5}" cy="{y + 5}" r="2.5" fill="#222"/>')
    elif above:
        parts.append(f'<rect class="u" x="{x + 1}" y="{y + 1}" width="{inner - 2}" height="{inner - 2}"/>')
    return "".join(parts)
