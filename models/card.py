"""Model card of the shipped model, written from its figures."""

from collections.abc import Mapping
from typing import Any


def render(figures: Mapping[str, Any]) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    figures
        The document that stands beside the card as ``metrics.json``; see `tritforge.sim.export`.
    """
    config, recipe = figures["config"], figures["recipe"]
    split, bits, size = figures["held_out"], figures["bits_per_character"], figures["size"]
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    train = (
        "python -m tritforge.models.train --corpus r-cran-janeaustenr_*.deb "
        f"--steps {recipe['steps']} --seed {recipe['seed']}"
    )
    return f"""# {figures["name"]}: a ternary character model of Jane Austen's novels

A BitNet b1.58 decoder with the architecture and tensor names of Hugging Face's `bitnet`:
{config["num_hidden_layers"]} layers, {heads} query and {shared} key heads,
hidden {config["hidden_size"]}, feed-forward {config["intermediate_size"]},
{config["max_position_embeddings"]} positions;
{size["ternary"]:,} ternary weights, and {size["float"]:,} float32 values in embedding and norms.
One token is one ASCII character; every other character stands as U+001A. The model writes English in the
manner of its corpus and knows nothing else: it is here to give hardware real weights and real activations.

This folder is written by `python -m tritforge.sim.export`; `metrics.json` holds every figure below.

## Held-out bits per character

| model | as trained (PyTorch) | in NumPy (`tritforge.sim`) |
|---|---:|---:|
| ternary weights, INT8 activations | {bits["ternary"]["trained"]:.4f} | {bits["ternary"]["numpy"]:.4f} |
| full-precision twin, trained alike | {bits["twin"]["trained"]:.4f} | {bits["twin"]["numpy"]:.4f} |

Windows of {figures["window"]} characters that do not overlap, every character scored but a window's first.

## Text

Six novels (Sense and Sensibility, Pride and Prejudice, Mansfield Park, Emma, Northanger Abbey, Persuasion),
in the public domain, as carried by the R package janeaustenr (MIT licence, Julia Silge) in Debian's
`r-cran-janeaustenr`. Trained on {split["train_characters"]:,} characters; the last {split["share"]:.0%} of
each book, {split["characters"]:,} characters in all, are held out and lie in `held_out.txt`.

SHA-256 of `held_out.txt`: `{split["sha256"]}`

## Licence

The weights are under the Apache License 2.0, as the project is; the text is in the public domain.

## Recipe

{recipe["steps"]:,} steps of {recipe["batch"]} windows of {figures["window"]} characters each,
seed {recipe["seed"]}. Muon for the matrices (peak learning rate {recipe["matrix_rate"]}),
AdamW for embedding and norms ({recipe["vector_rate"]});
{recipe["warmup"]} steps of warm-up, then a linear fall. At half time the learning
rate drops to {recipe["second_stage"]} of itself and the weight decay of the matrices,
{recipe["weight_decay"]}, ends. Straight-through gradients through absmean weights and per-token absmax INT8
activations. Training products run in bfloat16 with float32 sums where the processor has a unit for it, which
leaves the ternary model's integer codes exact; both models are evaluated in float32. The rates were chosen on short
runs of the ternary model, and the twin takes them as they are: it shows what the same recipe gives without
quantisation, not the best that full precision can do. Train it again:

    {train} --output build/train/ternary
    {train} --twin --output build/train/twin

## Codes

Shares in per cent: of the weights' three codes, and of INT8 activations that are 0 at the matrix's input,
over the whole held-out text.

{_table(figures["matrices"])}
## Files

| file | what it is |
|---|---|
| `model.safetensors` | the model in {size["file"]:,} bytes: five trits a byte, a SHA-256 of every tensor |
| `held_out.txt` | the held-out text, UTF-8 |
| `metrics.json` | every figure of this card |
"""


def _table(matrices: list[Mapping[str, Any]]) -> str:
    lines = ["| matrix | M × K | -1 | 0 | +1 | activations 0 |", "|---|---|---:|---:|---:|---:|"]
    for row in matrices:
        shares = (*row["weight_shares"], row["zero_activations"])
        cells = " | ".join(f"{100 * share:.2f}" for share in shares)
        lines.append(f"| `{row['name'].removeprefix('model.')}` | {row['m']} × {row['k']} | {cells} |")
    return "\n".join(lines) + "\n"
