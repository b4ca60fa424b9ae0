"""What 1.58 bits means against what packings spend."""

from math import log2

from _svg import bars

from tritforge.energy.memory import PACKINGS, weight_memory
from tritforge.models.formats import open_checkpoint
from tritforge.models.inspection import PACKING_BITS, inspect
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "questions/bits.md"
SHAPES = ("microsoft/bitnet-b1.58-2B-4T", "HF1BitLLM/Llama3-8B-1.58-100B-tokens", "bitnet-b1.58-figure3-70B")
#: What each packing is, in words.
WHAT = {
    "i2": "two bits a trit, no decoder",
    "s5": "three trits in five bits, escape code",
    "s8": "five trits in eight bits, escape code",
    "base3": "five trits in eight bits, base 3: the project's own file",
    "tq1_0": "GGUF: base 3 with a float16 scale for each 256 weights",
    "tq2_0": "GGUF: two bits, with a float16 scale for each 256 weights",
}


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    own = inspect(open_checkpoint("austen")).entropy
    information = log2(3)
    spent = [
        [
            f"`{name}`",
            WHAT[name],
            f"{float(bits):.4f}",
            f"{100 * (float(bits) / information - 1):.1f}",
            f"{100 * (float(bits) / own - 1):.1f}",
        ]
        for name, bits in PACKING_BITS.items()
    ]
    memory = []
    for name in SHAPES:
        shape = find_shape(name)
        fp16 = weight_memory(shape, "fp16")
        for packing in ("fp16", "int4", "i2", "s8", "ideal"):
            found = weight_memory(shape, packing)
            rest = found.total - found.matrices - found.scales
            memory.append(
                [
                    shape.name,
                    f"`{packing}`",
                    f"{PACKINGS[packing].bits_per_weight:.3f}",
                    f"{found.matrices / 1e9:.3f}",
                    f"{rest / 1e9:.3f}",
                    f"{fp16.total / found.total:.2f}",
                ]
            )
    return {
        "packings": markdown_table(
            ("packing", "what it is", "bits a weight", "over log2 3, %", "over `austen`'s entropy, %"),
            spent,
            text=2,
        ),
        "models": markdown_table(
            ("model", "packing", "bits", "matrices, GB", "all else, GB", "FP16 over this"), memory, text=2
        ),
    }


def plots() -> dict[str, str]:
    """Return the pictures of the page."""
    rows = []
    for name in SHAPES:
        shape = find_shape(name)
        label = shape.name.rsplit("/", 1)[-1].removesuffix("-100B-tokens")
        fp16 = weight_memory(shape, "fp16").total
        for packing in ("fp16", "int4", "i2", "s8"):
            found = weight_memory(shape, packing)
            trits = found.matrices + found.scales
            rows.append(
                (
                    f"{label} {packing}",
                    [100 * trits / fp16, 100 * (found.total - trits) / fp16],
                    f"{found.total / 1e9:.2f} GB",
                )
            )
    title = "Memory of a model by packing, FP16 as a whole bar: ternary matrices, and all else"
    return {"bits.svg": bars(title, ("ternary matrices", "all else"), rows, full=100.0)}
