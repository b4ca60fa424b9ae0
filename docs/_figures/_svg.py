"""Bars as SVG: text of middle grey and fills of middle lightness, legible on a light and on a dark page."""

from collections.abc import Sequence
from html import escape

TEXT, LINE = "#7a7f87", "#7a7f8755"
FILLS = ("#0a7d6c", "#3a78b5", "#b0762a", "#a8485e", "#8a8f98")
FONT = 'font-family="sans-serif" font-size="13"'
#: Sizes in pixels.
WIDTH, VALUE, ROW, BAR, TOP, LETTER = 440, 110, 22, 15, 34, 7.2


def bars(
    title: str,
    series: Sequence[str],
    rows: Sequence[tuple[str, Sequence[float], str]],
    *,
    full: float | None = None,
    fills: Sequence[str] = FILLS,
) -> str:
    """Return horizontal bars, each of some parts side by side.

    Parameters
    ----------
    title
        What is drawn, with its unit; the picture's text alternative with the rows' values.
    series
        What the parts are, in their order.
    rows
        Label, parts, and what stands behind the bar.
    full
        Length of a whole bar; the longest row's unless given.
    fills
        Colours of the parts.
    """
    whole = full or max(sum(parts) for _, parts, _ in rows)
    indent = round(LETTER * max(len(label) for label, _, _ in rows)) + 12
    height = TOP + ROW * len(rows) + 8
    said = "; ".join(f"{label}: {value}" for label, _, value in rows)
    box = f"0 0 {indent + WIDTH + VALUE} {height}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" fill="{TEXT}" {FONT}>',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(said)}</desc>",
    ]
    left = indent
    for name, fill in zip(series, fills, strict=False):
        lines += [
            f'<rect x="{left}" y="8" width="11" height="11" fill="{fill}"/>',
            f'<text x="{left + 16}" y="18">{escape(name)}</text>',
        ]
        left += 30 + 7 * len(name)
    for number, (label, parts, value) in enumerate(rows):
        y = TOP + ROW * number
        lines.append(f'<text x="{indent - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>')
        x = float(indent)
        for part, fill in zip(parts, fills, strict=False):
            length = WIDTH * part / whole
            lines.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{fill}"/>')
            x += length
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 12}">{escape(value)}</text>')
    lines.append(f'<path d="M{indent} {TOP - 4}V{height - 4}" stroke="{LINE}"/>')
    return "\n".join([*lines, "</svg>", ""])
