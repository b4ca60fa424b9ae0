"""From one format to another: written beside its place, read back and compared as a whole, and then moved there."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, VerificationError
from tritforge.accel.files import refuse_existing, staged
from tritforge.models.formats import open_checkpoint
from tritforge.models.reader import CheckpointReader
from tritforge.models.verification import verify_equal

if TYPE_CHECKING:
    from tritforge.models.gguf_reader import I2sLayout

Target = Literal["native", "hf-packed", "hf-float", "gguf-tq1_0", "gguf-tq2_0", "gguf-i2_s", "image"]
#: What a checkpoint can be converted to.
TARGETS: tuple[Target, ...] = get_args(Target)
#: Called with what is done now, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
#: Files of the folders that are written here, and that may be replaced as a whole.
_WRITTEN = re.compile(
    r"config\.json|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|manifest\.json|tensors\.f32|.*\.tritimg"
)
_GGUF_TYPES: dict[str, Literal["TQ1_0", "TQ2_0", "I2_S"]] = {
    "gguf-tq1_0": "TQ1_0",
    "gguf-tq2_0": "TQ2_0",
    "gguf-i2_s": "I2_S",
}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was written and compared.

    Attributes
    ----------
    path, target
        Where it lies and what it is.
    format
        What its reader calls it.
    bytes
        Of all its files.
    matrices, weights, float_numbers
        How many were compared and found equal.
    sign_off
        SHA-256 of an image bundle's manifest; of the file for what is one file; empty for other folders.
    notes
        What a user should know of the source.
    """

    path: Path
    target: Target
    format: str
    bytes: int
    matrices: int
    weights: int
    float_numbers: int
    sign_off: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, fit for JSON."""
        return asdict(self) | {"path": str(self.path)}


def convert(
    reader: CheckpointReader,
    output: Path,
    target: Target,
    *,
    accelerator: AcceleratorConfig | None = None,
    i2s_layout: "I2sLayout | None" = None,
    round_scales: bool = False,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Conversion:
    """Write a checkpoint in another format, read the result back, compare all of it, and only then put it in place.

    Codes, scales and float32 numbers of the result equal those of the source; what a format cannot hold is refused.

    Parameters
    ----------
    reader
        The checkpoint.
    output
        File or folder of the result.
    target
        One of `TARGETS`.
    accelerator
        What an image is packed for.
    i2s_layout
        For ``gguf-i2_s``: the build of bitnet.cpp that is to read it.
    round_scales
        Let scales be rounded to what GGUF has: float16, or float32 and multipliers in i2_s.
    force
        Replace what lies at `output`: a file, or a folder of nothing but what a conversion writes.
    on_progress
        Called as the work goes on.

    Raises
    ------
    InputError
        An option is missing or for another target, the path cannot be written, the source is damaged, or the format
        cannot hold it.
    VerificationError
        What was read back differs.
    """
    _check_options(target, accelerator, i2s_layout, round_scales)
    _check_output(reader.path, output, force)
    if target in _GGUF_TYPES and not round_scales:
        _check_kinds(reader)

    def report(phase: str) -> Callable[[int, int], None]:
        return lambda done, total: on_progress(phase, done, total) if on_progress is not None else None

    with staged(output, replace=force) as stage:
        try:
            _write(reader, stage, target, accelerator, i2s_layout, round_scales, report("writing"))
        except InputError as error:
            raise InputError(str(error).replace(str(stage), str(output))) from error
        try:
            with open_checkpoint(stage, i2s_layout=i2s_layout) as written:
                verify_equal(
                    reader,
                    written,
                    scale_bits=_scale_bits(target) if round_scales else None,
                    on_progress=report("comparing"),
                )
                form = written.format
        except (InputError, VerificationError) as error:
            raise VerificationError(
                f"{output} was not kept, what was read back differs from {reader.path}: "
                + str(error).replace(str(stage), str(output))
            ) from error
        files = [path for path in stage.rglob("*") if path.is_file()] if stage.is_dir() else [stage]
        size = sum(path.stat().st_size for path in files)
        sign_off = _sign_off(stage)
    return Conversion(
        path=output,
        target=target,
        format=form,
        bytes=size,
        matrices=len(reader.matrices),
        weights=reader.weights,
        float_numbers=reader.float_numbers,
        sign_off=sign_off,
        notes=reader.notes,
    )


def _check_options(
    target: Target, accelerator: AcceleratorConfig | None, i2s_layout: "I2sLayout | None", round_scales: bool
) -> None:
    if target not in TARGETS:
        raise InputError(f"the target is {target!r}; one of {', '.join(TARGETS)} is needed")
    if (target == "image") != (accelerator is not None):
        raise InputError(
            "an image is packed for an accelerator; give its configuration"
            if target == "image"
            else f"an accelerator's configuration is for images, not for {target}; leave it out"
        )
    if (target == "gguf-i2_s") != (i2s_layout is not None):
        raise InputError(
            "builds of bitnet.cpp differ in the layout of i2_s; give x86 or arm (--i2s-layout), as the reader's is"
            if target == "gguf-i2_s"
            else f"the layout {i2s_layout} of i2_s is not for {target}; leave it out"
        )
    if round_scales and not target.startswith("gguf"):
        raise InputError(f"{target} holds scales as they are; only those of GGUF are rounded")


def _check_kinds(reader: CheckpointReader) -> None:
    """Refuse divisors, whose reciprocals GGUF would hold; a float32 and its reciprocal are not two of a kind."""
    for name in reader.matrices:
        if reader.scale_form(name)[0] == "divisor":
            raise InputError(
                f"{reader.path}: the scale of {name} is a divisor, and GGUF holds multipliers: its reciprocal would "
                "be rounded; have scales rounded (--round-scales), or choose another format"
            )


def _check_output(source: Path, output: Path, force: bool) -> None:
    """Refuse, before the work, what may not be replaced."""
    if not output.name:
        raise InputError(f"{output} is no name of a file or folder; give one")
    refuse_existing(output, replace=force)
    if not output.exists():
        return
    if source.exists() and (output.samefile(source) or output.resolve() in source.resolve().parents):
        raise InputError(f"{output} is what is converted; choose another path")
    if output.is_dir():
        for entry in sorted(output.iterdir()):
            if entry.is_dir() or not _WRITTEN.fullmatch(entry.name):
                raise InputError(
                    f"the folder {output} holds {entry.name}, which no conversion writes; choose another path"
                )


def _scale_bits(target: Target) -> int:
    """Bits of the floats that a format of GGUF holds scales in: float32 in i2_s, float16 elsewhere."""
    return 24 if target == "gguf-i2_s" else 11


def _write(
    reader: CheckpointReader,
    path: Path,
    target: Target,
    accelerator: AcceleratorConfig | None,
    i2s_layout: "I2sLayout | None",
    round_scales: bool,
    on_progress: Callable[[int, int], None],
) -> None:
    """Write one target; each writer is imported for itself."""
    if target == "native":
        from tritforge.models.native import write_native

        write_native(reader, path, on_progress)
    elif target == "image":
        from tritforge.models.image_bundle import write_images

        assert accelerator is not None  # noqa: S101  (checked with the options)
        write_images(reader, path, accelerator, on_progress=on_progress)
    elif target in {"hf-packed", "hf-float"}:
        from tritforge.models.huggingface_writer import write_hugging_face

        form: Literal["packed", "float"] = "packed" if target == "hf-packed" else "float"
        write_hugging_face(reader, path, form, on_progress=on_progress)
    else:
        from tritforge.models.gguf_writer import write_gguf

        write_gguf(
            reader,
            path,
            _GGUF_TYPES[target],
            i2s_layout=i2s_layout,
            round_scales=round_scales,
            on_progress=on_progress,
        )


def _sign_off(path: Path) -> str:
    if path.is_dir():
        from tritforge.models.image_bundle import MANIFEST, sign_off

        return sign_off(path) if (path / MANIFEST).is_file() else ""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
