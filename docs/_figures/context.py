"""Long context: when the cache of keys and values outweighs the weights, and what its width buys."""

from _svg import bars

from tritforge.energy.hardware import hardware_energy
from tritforge.energy.memory import KV_BITS, kv_bytes_per_token, weight_memory
from tritforge.energy.report import format_joules
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "questions/context.md"
SHAPES = ("microsoft/bitnet-b1.58-2B-4T", "HF1BitLLM/Llama3-8B-1.58-100B-tokens", "bitnet-b1.58-figure3-70B")
CONTEXTS = (512, 4096, 32768, 131072)


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    crossing = []
    for name in SHAPES:
        shape = find_shape(name)
        matrices = weight_memory(shape, "s8").matrices
        positions = [f"{matrices / kv_bytes_per_token(shape, bits):,.0f}" for bits in KV_BITS]
        crossing.append([shape.name, f"{matrices / 1e9:.3f}", *positions])
    shape = find_shape(SHAPES[0])
    energy = []
    for context in CONTEXTS:
        for bits in (16, 8, 4):
            scenario = Scenario(phase="decode", context=context, packing="s8", kv_bits=bits)
            result = hardware_energy(shape, scenario)
            cache = result.part("kv_cache").value
            attention = sum(result.part(name).value for name in ("attention", "softmax", "kv_codes"))
            energy.append(
                [
                    f"{context:,}",
                    str(bits),
                    format_joules(result.energy),
                    *(
                        f"{100 * part / result.energy.value:.1f}"
                        for part in (result.part("weights").value, cache, attention)
                    ),
                ]
            )
    return {
        "crossing": markdown_table(
            ("model", "ternary matrices, GB", *(f"KV of {bits} bits" for bits in KV_BITS)), crossing
        ),
        "energy": markdown_table(
            ("context", "KV bits", "a token", "weights, %", "cache, %", "attention, %"), energy, text=1
        ),
    }


def plots() -> dict[str, str]:
    """Return the pictures of the page."""
    shape = find_shape(SHAPES[0])
    rows = []
    for context in CONTEXTS:
        for bits in (16, 8, 4):
            scenario = Scenario(phase="decode", context=context, packing="s8", kv_bits=bits)
            result = hardware_energy(shape, scenario)
            weights, cache = (result.part(name).value for name in ("weights", "kv_cache"))
            parts = [weights, cache, result.energy.value - weights - cache]
            value = format_joules(result.energy).split(" (")[0]
            rows.append((f"context {context:,}, KV {bits} bits", parts, value))
    title = "Energy of one decoded token of BitNet b1.58 2B-4T by context and width of the cache"
    return {"context.svg": bars(title, ("ternary weights", "KV cache", "all else"), rows)}
