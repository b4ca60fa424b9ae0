"""The accelerator as a block diagram, drawn from its configuration: every number on it is a property of that."""

from collections.abc import Sequence
from html import escape
from math import log2

from tritforge.accel.codes import RESULT_WORD_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.store_sizes import StoreSizes
from tritforge.report.workload import stores

_WIDTH, _HEIGHT = 1060, 474
#: Edges of the columns: ports, stores and loaders, array, results.
_PORTS, _FEED, _ARRAY, _OUT = 8, 202, 458, 914
_FEED_WIDTH, _ARRAY_WIDTH, _OUT_WIDTH = 190, 390, 138
#: Rows of the array that are drawn when there are more.
_ROWS_DRAWN = 4
#: Lanes that are drawn for a row at most.
_LANES_DRAWN = 16


def kibibytes(bits: int) -> str:
    """Write a size of a store: bits below a kibibyte, then KiB or MiB."""
    for scale, unit in ((8 << 20, "MiB"), (8 << 10, "KiB")):
        if bits >= scale:
            return f"{bits / scale:,.4g} {unit}"
    return f"{bits:,} bits"


def buffer_bits(config: AcceleratorConfig) -> int:
    """Return the size of the activation buffer."""
    return config.buffer_words * config.lanes * config.act_container_bits


def tokens(config: AcceleratorConfig) -> str:
    """Say how many tokens share a pass over the weights."""
    return f"{config.tokens_max} token{'s' if config.tokens_max > 1 else ''}"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}"{style}{place}>{escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, kind: str, title: str, lines: Sequence[str]) -> str:
    """Return a block with its name and lines of figures, from the top."""
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" class="{kind}"/>',
        _text(x + 10, y + 21, title, "name"),
        *(_text(x + 10, y + 40 + 17 * number, line, "small") for number, line in enumerate(lines)),
    ]
    return "".join(parts)


def _arrow(points: Sequence[tuple[float, float]], bits: int) -> str:
    """Return an arrow along points, the wider the more bits it carries."""
    width = 1.2 + 0.45 * log2(max(bits, 1))
    (x0, y0), (x1, y1) = points[-2:]
    length = 6 + 1.2 * width
    dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
    end = (x1 - length * dx, y1 - length * dy)
    line = " ".join(f"{x:g},{y:g}" for x, y in (*points[:-1], end))
    half = 3 + 0.9 * width
    corners = ((x1, y1), *((end[0] + side * half * dy, end[1] + side * half * dx) for side in (-1, 1)))
    head = " ".join(f"{x:g},{y:g}" for x, y in corners)
    return (
        f'<polyline points="{line}" class="wire" stroke-width="{width:.2f}"/>'
        f'<polygon points="{head}" class="head"/>'
    )


def sums(config: AcceleratorConfig) -> str:
    """Say how the products of a row are summed."""
    if config.datapath == "tree":
        arity = "" if config.tree_arity == 2 else f" of {config.tree_arity} operands"
        return f"{config.tree_levels} levels of adders{arity}"
    if config.positions > 1:
        chains = config.lanes // config.positions
        return f"{chains} chains of {config.positions}, {config.tree_levels} levels"
    return f"pairs in LUT6, {config.tree_levels} levels"


def _row(config: AcceleratorConfig, y: float, height: float) -> str:
    """Return one row of the array: lanes, adders, accumulators."""
    left, middle = _ARRAY + 60, y + height / 2
    drawn = min(config.lanes, _LANES_DRAWN)
    pitch = 144 / drawn
    cells = "".join(
        f'<rect x="{left + pitch * lane:.2f}" y="{middle - 9:g}" width="{pitch - 1.2:.2f}" height="18" class="lane"/>'
        for lane in range(drawn)
    )
    tree = left + 152
    corners = ((tree, middle - 17), (tree + 50, middle - 5), (tree + 50, middle + 5), (tree, middle + 17))
    shape = " ".join(f"{x:g},{y:g}" for x, y in corners)
    accumulator = tree + 66
    return (
        f'{cells}<polygon points="{shape}" class="work"/>'
        f'<line x1="{tree + 50:g}" y1="{middle:g}" x2="{accumulator:g}" y2="{middle:g}" class="wire"/>'
        f'<rect x="{accumulator:g}" y="{middle - 14:g}" width="100" height="28" rx="3" class="store"/>'
        + _text(
            accumulator + 50, middle + 5, f"{config.tokens_max} × {config.acc_bits} bits", "small", "middle"
        )
    )


def _array(config: AcceleratorConfig, top: float, height: float) -> str:
    """Return the array with its rows, those in the middle left out where there are many."""
    drawn = min(config.rows, _ROWS_DRAWN)
    pitch = 58
    first = top + 74
    parts = [
        f'<rect x="{_ARRAY}" y="{top:g}" width="{_ARRAY_WIDTH}" height="{height:g}" rx="6" class="frame"/>',
        _text(_ARRAY + 12, top + 22, f"Array: {config.rows} × {config.lanes}", "name"),
        _text(_ARRAY + 12, top + 40, f"{config.rows * config.lanes:,} ternary operations a cycle", "small"),
        _text(_ARRAY + 60, top + 68, f"{config.lanes} lanes", "small"),
        _text(_ARRAY + 212, top + 68, "adders", "small"),
        _text(_ARRAY + 278, top + 68, "accumulators", "small"),
    ]
    for number in range(drawn):
        y = first + pitch * number
        if drawn < config.rows and number == drawn - 2:
            parts.append(
                _text(_ARRAY + 12, y + pitch / 2 + 4, f"⋮  {config.rows - drawn + 1} more rows", "small")
            )
            continue
        index = config.rows - 1 if number == drawn - 1 else number
        parts += [_text(_ARRAY + 12, y + pitch / 2 + 5, f"row {index}", "small"), _row(config, y, pitch)]
    foot = top + height - 52
    lines = (
        f"{sums(config)}: sums of {config.dot_bits} bits",
        f"datapath {config.datapath}"
        + (f" for {config.target}" if config.datapath == "fused" else "")
        + f", negation by {config.negation}",
        f"{config.act_bits}-bit activations; {config.latency} cycles from token to sum",
    )
    parts += [_text(_ARRAY + 12, foot + 18 * number, line, "small") for number, line in enumerate(lines)]
    return "".join(parts)


def _feeds(
    config: AcceleratorConfig, sizes: StoreSizes | None, top: float
) -> tuple[str, tuple[float, float, float]]:
    """Return what feeds the array, and the heights of its three arrows: activations, weights, control."""
    trits, bits = WORDS[config.packing]
    entries = [
        _box(
            _FEED, top, _FEED_WIDTH, 96, "store", "Activation buffer",
            [
                f"{config.buffer_words:,} × {config.lanes} activations",
                f"{kibibytes(buffer_bits(config))}, {tokens(config)}",
                f"of up to {config.k_max:,} inputs",
            ],
        ),
        _box(
            _FEED, top + 136, _FEED_WIDTH, 130, "work", "Weight loader",
            [
                f"{config.packing}: {trits} trit{'s' if trits > 1 else ''} in {bits} bits",
                f"tile {config.tile_bits:,} bits decoded",
                f"{config.tile_beats} beat{'s' if config.tile_beats > 1 else ''} a tile, the next",
                "one while this one works",
                f"biases: {config.bias_beats} beats a row tile" if config.bias_beats else "no biases",
            ],
        ),
        _box(
            _FEED, top + 298, _FEED_WIDTH, 104, "plain", "Sequencer",
            [
                "one token of a tile a cycle",
                f"M to {config.m_max:,}, K to {config.k_max:,}",
                f"T to {config.tokens_max}",
                ", ".join(
                    name
                    for name, there in (("partial sums", config.partial_sums), ("sparse jobs", config.sparse))
                    if there
                ),
            ],
        ),
    ]  # fmt: skip
    if sizes is not None:
        entries += [
            _box(_PORTS, top + 9, 124, 78, "store", "Store", [kibibytes(8 * sizes.activations), "of activations"]),
            _box(
                _PORTS, top + 151, 124, 78, "store", "Weight store",
                [f"{kibibytes(8 * sizes.weights)} on the chip", "filled by the host"],
            ),
        ]  # fmt: skip
    return "".join(entries), (top + 48, top + 190, top + 354)


def _ports(config: AcceleratorConfig, sizes: StoreSizes | None, heights: tuple[float, float, float]) -> str:
    parts = []
    for (name, bits), y in zip(
        (("activations", config.act_port_bits), ("weights", config.weight_port_bits)), heights, strict=False
    ):
        start = _PORTS + 124 if sizes is not None else _PORTS
        parts.append(_arrow([(start, y), (_FEED - 2, y)], bits))
        if sizes is None:
            parts.append(_text(_PORTS, y - 14, name, "name"))
            parts.append(_text(_PORTS, y + 26, f"{bits} bits a cycle", "small"))
        else:
            parts.append(_text(start + 8, y - 14, f"{bits} bits", "small"))
    parts += [
        _arrow([(_PORTS, heights[2]), (_FEED - 2, heights[2])], 32),
        _text(_PORTS, heights[2] - 12, "jobs", "name"),
        _text(_PORTS, heights[2] + 24, "M, K, T", "small"),
    ]
    return "".join(parts)


def _results(config: AcceleratorConfig, sizes: StoreSizes | None, top: float) -> str:
    y = top + 48
    parts = [
        _box(
            _OUT, top, _OUT_WIDTH, 96, "store", "Result queue",
            [
                f"{config.result_entries} × {config.rows} sums",
                kibibytes(config.result_entries * config.rows * config.acc_bits),
                f"{config.results_per_beat} word{'s' if config.results_per_beat > 1 else ''} a beat",
            ],
        ),
        _arrow([(_ARRAY + _ARRAY_WIDTH, y), (_OUT - 2, y)], config.rows * config.acc_bits),
        _text(_OUT - 50, y - 16, f"{config.rows * config.acc_bits:,}", "small"),
        _text(_OUT - 50, y + 28, "bits", "small"),
    ]  # fmt: skip
    x = _OUT + _OUT_WIDTH / 2
    end = top + 204
    parts.append(_arrow([(x, top + 96), (x, end)], config.result_port_bits))
    parts.append(_text(x + 12, top + 130, f"{config.result_port_bits} bits", "small"))
    if config.partial_sums:
        parts.append(_text(x - 12, top + 130, "+ partials", "small", "end"))
    if sizes is None:
        parts.append(_text(x, end + 22, "results", "name", "middle"))
        parts.append(_text(x, end + 40, f"words of {RESULT_WORD_BITS} bits", "small", "middle"))
    else:
        parts.append(
            _box(_OUT, end, _OUT_WIDTH, 78, "store", "Store", [kibibytes(8 * sizes.results), "of results"])
        )
    return "".join(parts)


def describe(config: AcceleratorConfig) -> str:
    """Say what the diagram shows, for those who do not see it."""
    sizes = stores(config)
    source = (
        f"from a store of {kibibytes(8 * sizes.weights)} on the chip"
        if sizes is not None
        else "from a stream"
    )
    return (
        f"Activations enter {config.act_port_bits} bits a cycle and fill a buffer of "
        f"{kibibytes(buffer_bits(config))} that holds {tokens(config)} of up to {config.k_max:,} inputs. "
        f"Weights enter {config.weight_port_bits} bits a cycle {source}, packed as {config.packing}; the "
        f"loader unpacks a tile of {config.rows} times {config.lanes} trits in {config.tile_beats} beats "
        f"while the array works on the last one. The array has {config.rows} rows of {config.lanes} lanes, "
        f"{config.rows * config.lanes:,} ternary operations a cycle; each row sums them by {sums(config)} "
        f"into {config.dot_bits} bits and keeps {config.tokens_max} accumulators of {config.acc_bits} "
        f"bits. Sums pass a queue of {config.result_entries} entries and leave {config.result_port_bits} "
        "bits a cycle."
    )


def draw(config: AcceleratorConfig) -> str:
    """Return the diagram as an SVG element in the page's colours; the same configuration gives the same text."""
    sizes = stores(config)
    top = 34
    feeds, heights = _feeds(config, sizes, top)
    array_height = 402
    inside = [
        feeds,
        _ports(config, sizes, heights),
        _array(config, top, array_height),
        _results(config, sizes, top),
    ]
    taps = (
        (heights[0], config.lanes * config.act_container_bits),
        (heights[1], config.tile_bits),
        (heights[2], 16),
    )
    for y, bits in taps:
        inside.append(_arrow([(_FEED + _FEED_WIDTH, y), (_ARRAY - 2, y)], bits))
    inside += [
        _text(_FEED + _FEED_WIDTH + 6, heights[0] - 16, f"{taps[0][1]:,}", "small"),
        _text(_FEED + _FEED_WIDTH + 6, heights[1] - 16, f"{taps[1][1]:,}", "small"),
    ]
    if sizes is not None:
        inside.append(
            f'<rect x="1" y="{top - 30}" width="{_WIDTH - 2}" height="{array_height + 64}" rx="8" class="chip"/>'
        )
        inside.append(_text(12, top - 12, "on the chip, behind registers and a host link", "small"))
    style = (
        "text{fill:var(--ink);font:14px system-ui,'Liberation Sans',Arial,sans-serif}"
        ".name{font-weight:600}.small{font-size:12.5px}"
        ".store{fill:var(--store);stroke:var(--path)}.work{fill:var(--work);stroke:var(--path)}"
        ".plain{fill:var(--ground);stroke:var(--path)}.frame{fill:none;stroke:var(--path);stroke-width:1.5}"
        ".chip{fill:none;stroke:var(--path);stroke-dasharray:6 5}"
        ".lane{fill:var(--work);stroke:var(--path);stroke-width:.6}"
        ".wire{fill:none;stroke:var(--path)}.head{fill:var(--path)}"
    )
    # Without the frame of a chip there is nothing above and below.
    box = f"0 26 {_WIDTH} {_HEIGHT - 34}" if sizes is None else f"0 0 {_WIDTH} {_HEIGHT}"
    scoped = "".join(f".blocks {rule}}}" for rule in style.split("}") if rule)
    return (
        f'<svg class="blocks" viewBox="{box}" role="img" aria-labelledby="d-title d-desc">'
        '<title id="d-title">Block diagram of the accelerator</title>'
        f'<desc id="d-desc">{escape(describe(config))}</desc>'
        f"<style>{scoped}</style>{''.join(inside)}</svg>"
    )
