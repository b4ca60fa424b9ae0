"""What the project's pages share: their frame, tables, lists and plots; a page loads nothing and holds no script.

Colours are the variables of ``data/page.html.in``, so one drawing serves a light and a dark screen and paper. A page
follows the system's scheme, and its switch is a group of radio buttons that the style sheet reads.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from tritforge.energy.plot_style import inline_svg, style

#: Rows of a table that stays together on paper.
_SHORT = 30
_TEMPLATE = Path(__file__).parent / "data" / "page.html.in"


def render_frame(title: str, lead: str, body: Sequence[str], *, contents: str = "") -> str:
    """Return a whole page.

    Parameters
    ----------
    title, lead
        Heading, and a sentence below it; text.
    body
        What the page holds; HTML.
    contents
        Links to its sections; HTML.
    """
    page = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(title),
        lead=escape(lead),
        contents=contents,
        body="\n".join(part for part in body if part),
    )


def plot(draw: Callable[[], Figure], name: str, alternative: str, caption: str) -> str:
    """Return a plot with its caption.

    Parameters
    ----------
    draw
        Draws it, in the style that holds when it is called.
    name
        Keeps the identifiers of the page's plots apart.
    alternative
        What it shows, for those who do not see it.
    caption
        What stands below it.
    """
    with style(page=True):
        svg = inline_svg(draw(), salt=name)
    return drawing(
        svg.replace("<svg", f'<svg aria-label="{escape(alternative, quote=True)}"', 1), caption, name=name
    )


def drawing(svg: str, caption: str, *, name: str, kind: str = "plot") -> str:
    """Return a drawing, whose SVG element says what it shows, with its caption; it scrolls where it is too wide."""
    label = escape(f"Drawing: {name}", quote=True)
    return (
        f'<figure class="{kind}"><div class="scroll" tabindex="0" role="group" aria-label="{label}">'
        f"{svg}</div><figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Sequence[int] = (),
    total: bool = False,
    shown: bool = True,
) -> str:
    """Return a table whose first column names the rows; it scrolls where it is too wide.

    Parameters
    ----------
    caption
        What it is called, of its own on the page.
    headings, rows
        Cells; text.
    text
        Columns of words, to the left and broken into lines; the others are numbers, to the right.
    total
        Whether the last row is a sum.
    shown
        Whether the caption is shown, or there for those who hear the page alone.
    """
    name = "t-" + "-".join("".join(c if c.isalnum() else " " for c in caption.lower()).split())

    def kind(place: int) -> str:
        return ' class="text"' if place in text else ""

    head = "".join(f'<th scope="col"{kind(i)}>{escape(cell)}</th>' for i, cell in enumerate(headings))
    body = []
    for number, row in enumerate(rows):
        first, *rest = row
        cells = "".join(f"<td{kind(i)}>{escape(cell)}</td>" for i, cell in enumerate(rest, start=1))
        last = ' class="total"' if total and number == len(rows) - 1 else ""
        body.append(f'<tr{last}><th scope="row"{kind(0)}>{escape(first)}</th>{cells}</tr>')
    kept = "scroll short" if len(rows) <= _SHORT else "scroll"
    hidden = "" if shown else ' class="unseen"'
    return (
        f'<div class="{kept}" tabindex="0" role="region" aria-labelledby="{name}"><table>'
        f'<caption id="{name}"{hidden}>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def paragraph(text: str, *, kind: str = "") -> str:
    """Return a paragraph of text; of a kind that the style sheet knows: ``good``, ``bad``, ``notice``."""
    name = f' class="{kind}"' if kind else ""
    return f"<p{name}>{escape(text)}</p>"


def listed(lines: Sequence[str]) -> str:
    """Return lines of text as a list; nothing without any."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def folded(summary: str, body: str) -> str:
    """Return what a reader may open; on paper it is open."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"
