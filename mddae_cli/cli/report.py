"""Score cards as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import mddae_cli
from mddae_cli.cli import cards
from mddae_cli.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;margin:2rem auto;max-width:75rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem}
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.wide{overflow-x:auto}.cards{display:flex;flex-wrap:wrap;gap:1rem}
.card{border:1px solid #ccc;border-radius:6px;padding:.5rem 1rem}.card h3{margin:.2rem 0}
dl{display:grid;grid-template-columns:auto auto;gap:0 1rem;margin:.3rem 0;font-size:.85rem}
dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}
img{max-width:100%;height:auto}figure{margin:1rem 0}figcaption,.notes{font-size:.85rem;color:#444}
"""


def write(named: Sequence[cards.Named], path: Path) -> None:
    """Write the page; figures are embedded in it."""
    write_bytes(path, "\n".join(_page(named)).encode())


def _page(named: Sequence[cards.Named]) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>mddae evaluate</title><style>{_STYLE}</style></head><body>"
    names = escape(", ".join(name for name, _ in named))
    yield f"<h1>{names}</h1>"
    data = dict.fromkeys(f"{card.dataset}, {card.part} part" for _, card in named)
    yield f"<p>{escape('; '.join(data))}. mddae {escape(mddae_cli.__version__)}.</p>"
    yield '<div class="cards">'
    yield from (_card(name, cards.summary(name, card)) for name, card in named)
    yield "</div>"
    yield from (_picture(caption, figure) for caption, figure in _figures(named))
    for section in cards.sections(named)[1:]:
        yield f"<h2>{escape(section.title)}</h2>{_table(section)}"
    yield '<h2>What the figures mean</h2><ul class="notes">'
    yield from (f"<li>{escape(line)}</li>" for line in cards.notes(named))
    yield "</ul></body></html>\n"


def _card(name: str, cells: dict[str, str]) -> str:
    rows = (
        f"<dt>{escape(heading)}</dt><dd>{escape(cell)}</dd>"
        for heading, cell in cells.items()
        if heading != "model"
    )
    return f'<div class="card"><h3>{escape(name)}</h3><dl>{"".join(rows)}</dl></div>'


def _table(section: cards.Section) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in section.headings)
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in section.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _figures(named: Sequence[cards.Named]) -> Iterator[tuple[str, Figure]]:
    from mddae_cli.evaluation import curves

    errors = curves.error_curves(named)
    if errors is not None:
        yield "Error over the value; dotted: plain reconstructions.", errors
    for name, card in named:
        if card.swaps is not None:
            yield "Swaps; on the diagonal plain reconstructions.", curves.swap_map(name, card.swaps)
        for collateral in card.collateral:
            yield "Collateral: rows are edited.", curves.collateral_map(name, collateral)


def _picture(caption: str, figure: Figure) -> str:
    from mddae_cli.evaluation import curves

    data = base64.b64encode(curves.drawn(figure, "svg")).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
