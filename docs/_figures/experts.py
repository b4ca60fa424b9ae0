"""Mixture of experts: what lies in memory, what a token reads, and what sharing a pass is worth."""

from _svg import bars

from tritforge.accel.presets import load_config
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.memory import weight_memory
from tritforge.energy.report import format_joules
from tritforge.energy.roofline import weight_traffic
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "questions/experts.md"
MIXTURE = "mistralai/Mixtral-8x7B-v0.1"
DENSE = "HF1BitLLM/Llama3-8B-1.58-100B-tokens"
BATCHES = (1, 2, 4, 8, 16, 32)


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    size, reads, energy = [], [], []
    for name in (MIXTURE, DENSE):
        shape = find_shape(name)
        size.append(
            [
                shape.name,
                f"{shape.linear_parameters / 1e9:.2f}",
                f"{shape.active_linear_parameters / 1e9:.2f}",
                f"{weight_memory(shape, 's8').matrices / 1e9:.2f}",
                f"{weight_traffic(shape, 's8', 1) / 1e9:.2f}",
            ]
        )
    for batch in BATCHES:
        row = [str(batch)]
        for name in (MIXTURE, DENSE):
            traffic = weight_traffic(find_shape(name), "s8", batch)
            row += [f"{traffic / 1e9:.2f}", f"{traffic / batch / 1e9:.3f}"]
        reads.append(row)
    config = load_config("default")
    for name in (MIXTURE, DENSE):
        for batch in (1, config.tokens_max):
            scenario = Scenario(config=config, phase="decode", context=2048, batch=batch, packing="s8")
            result = hardware_energy(find_shape(name), scenario)
            share = 100 * result.part("weights").value / result.energy.value
            energy.append([name, str(batch), format_joules(result.per_token), f"{share:.1f}"])
    return {
        "size": markdown_table(
            ("model", "weights, billions", "of these a token uses", "in `s8`, GB", "read for one token, GB"),
            size,
        ),
        "reads": markdown_table(
            ("tokens in a step", "mixture, GB", "a token", "dense, GB", "a token"), reads
        ),
        "energy": markdown_table(("model", "batch", "a token", "weights, %"), energy),
    }


def plots() -> dict[str, str]:
    """Return the pictures of the page."""
    rows = []
    for batch in BATCHES:
        for name, word in ((MIXTURE, "mixture"), (DENSE, "dense")):
            each = weight_traffic(find_shape(name), "s8", batch) / batch / 1e9
            parts = [each, 0.0] if name == MIXTURE else [0.0, each]
            rows.append((f"{batch} tokens, {word}", parts, f"{each:.3f} GB a token"))
    title = (
        "Bytes that a token reads, by the tokens that share a step: a mixture of experts and a dense model"
    )
    return {"experts.svg": bars(title, ("Mixtral 8x7B, ternary", "Llama3-8B-1.58"), rows)}
