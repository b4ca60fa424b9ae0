"""Figures of the arithmetic contract: widths of exact sums, and how often the order of two operations shows."""

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "arithmetic.md"
#: Inner dimensions: a small model's, those of published ones.
INNER = {
    "`austen`, hidden": 256,
    "BitNet b1.58 2B-4T, hidden": find_shape("bitnet-b1.58-2B-4T").hidden_size,
    "BitNet b1.58 2B-4T, network": find_shape("bitnet-b1.58-2B-4T").intermediate_size,
    "Llama-2-70B, network": find_shape("Llama-2-70B").intermediate_size,
}


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    widths = []
    for name, k in INNER.items():
        config = AcceleratorConfig(k_max=k)
        widths.append([name, f"{k:,}", f"{128 * k:,}", str(config.acc_bits)])
    peaks = np.random.default_rng(0).uniform(0.01, 100.0, 1_000_000).astype(np.float32)
    differ = np.count_nonzero((np.float32(1) / peaks) * np.float32(127) != np.float32(127) / peaks)
    return {
        "widths": markdown_table(("inner dimension", "K", "largest magnitude", "bits"), widths),
        "order": (
            f"Of {len(peaks):,} peaks drawn evenly from 0.01 to 100 (seed 0), the two orders give different "
            f"float32 scales for {100 * differ / len(peaks):.1f} %.\n"
        ),
    }
