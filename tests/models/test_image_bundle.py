"""The signed-off image: written, read back, and what is wrong with it said in one line."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse
from small_models import ARCHITECTURES, random_model

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models import image_bundle
from tritforge.models.config import DecoderConfig
from tritforge.models.image import HEADER_BYTES, WeightImage, pack_image
from tritforge.models.image_bundle import MANIFEST, TENSORS, ImageReader, sign_off, write_images
from tritforge.models.image_manifest import checksum
from tritforge.models.reader import MemoryReader
from tritforge.models.verification import verify_equal

SMALL = AcceleratorConfig.from_dict({"k_max": 600, "m_max": 600}, base=PRESETS["tiny"])
MODEL = random_model(ARCHITECTURES["bitnet"])
FIRST = "model.layers.0.self_attn.q_proj"


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def write(folder: Path, accelerator: AcceleratorConfig = SMALL, **model: Any) -> Path:
    source = MemoryReader(random_model(ARCHITECTURES["bitnet"], **model) if model else MODEL)
    write_images(source, folder, accelerator)
    return folder


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the manifest, its checksum too."""
    document = json.loads((folder / MANIFEST).read_text())
    del document["sha256"]
    edit(document)
    document["sha256"] = checksum(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def flip(path: Path, offset: int) -> None:
    """Change a byte of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("packing", ["i2", "s5", "s8"])
def test_what_was_written_is_read_back(architecture: str, packing: str, tmp_path: Path) -> None:
    accelerator = AcceleratorConfig.from_dict({"packing": packing}, base=SMALL)
    model = random_model(ARCHITECTURES[architecture], seed=3, scale_kind="multiplier")
    write_images(MemoryReader(model), tmp_path / "image", accelerator)
    with ImageReader(tmp_path / "image") as reader:
        assert reader.config == model.config
        assert reader.accelerator == accelerator
        assert reader.format == f"accelerator image bundle, packing {packing}"
        for name, matrix in model.matrices.items():
            found = reader.matrix(name)
            assert np.array_equal(found.codes, matrix.codes)
            assert (found.scale, found.scale_kind) == (matrix.scale, "multiplier")
            assert reader.scale_form(name) == ("multiplier", None)
        for name, tensor in model.tensors.items():
            assert np.array_equal(reader.tensor(name), tensor)
        assert np.array_equal(reader.rows("model.norm.weight", 5, 9), model.tensors["model.norm.weight"][5:9])


def test_scales_of_blocks_are_kept(tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["bitnet"], grid=(1, 2))
    write_images(MemoryReader(model), tmp_path / "image", SMALL)
    reader = ImageReader(tmp_path / "image")
    for name, matrix in model.matrices.items():
        assert np.array_equal(reader.matrix(name).scale, matrix.scale)
        assert reader.scale_form(name) == ("divisor", (1, 2))


def test_a_matrix_over_the_buffer_is_cut_as_jobs_are(tmp_path: Path) -> None:
    partial = AcceleratorConfig.from_dict({"partial_sums": True, "k_max": 200}, base=SMALL)
    folder = write(tmp_path / "image", partial)
    codes = MODEL.matrices["model.layers.1.mlp.down_proj"].codes
    for index, part in enumerate((slice(0, 200), slice(200, 400), slice(400, 512))):
        data = (folder / f"model.layers.1.mlp.down_proj.{index}.tritimg").read_bytes()
        assert WeightImage.from_bytes(data).beats == pack_image(partial, codes[:, part])
    assert np.array_equal(ImageReader(folder).matrix("model.layers.1.mlp.down_proj").codes, codes)


def test_the_manifest_says_shape_scale_packing_and_checksum_of_each_matrix(tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    first = json.loads((folder / MANIFEST).read_text())["matrices"][0]
    beats = pack_image(SMALL, MODEL.matrices[FIRST].codes)
    assert first == {
        "name": FIRST,
        "m": 256,
        "k": 256,
        "packing": "i2",
        "scale_kind": "divisor",
        "scale": float(np.asarray(MODEL.matrices[FIRST].scale)),
        "images": [
            {
                "file": f"{FIRST}.tritimg",
                "k_start": 0,
                "k_stop": 256,
                "bytes": len(beats),
                "sha256": sha256(beats).hexdigest(),
            }
        ],
    }
    assert sign_off(folder) == sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert sign_off(write(tmp_path / "again")) == sign_off(folder)
    assert sign_off(write(tmp_path / "other", seed=5)) != sign_off(folder)


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_images(
        MemoryReader(MODEL), tmp_path / "image", SMALL, on_progress=lambda *numbers: seen.append(numbers)
    )
    total = sum(matrix.codes.size for matrix in MODEL.matrices.values())
    total += sum(tensor.size for tensor in MODEL.tensors.values())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_model_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    with refused(
        "the accelerator cannot run the model: model.layers.0.mlp.down_proj has K of 512, and k_max is 64: "
        "set partial_sums=true, or k_max=512"
    ):
        write(tmp_path / "new" / "image", AcceleratorConfig.from_dict({"m_max": 600}, base=PRESETS["tiny"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_ends_the_writing_leaves_nothing(error: Any, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise error

    with pytest.raises((KeyboardInterrupt, InputError)):
        write_images(MemoryReader(MODEL), tmp_path / "new" / "image", SMALL, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    with refused(f"{tmp_path / 'image'} exists; choose another path, or replace it by force"):
        write(tmp_path / "image")


def test_damaged_beats_are_found_when_they_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    image = folder / f"{FIRST}.tritimg"
    flip(image, HEADER_BYTES + 100)
    with pytest.raises(InputError, match=r"q_proj: the weight image has CRC-32 .* it is damaged$"):
        ImageReader(folder).matrix(FIRST)
    # A whole image of other weights is found by the manifest's checksum.
    image.write_bytes(WeightImage.pack(SMALL, -MODEL.matrices[FIRST].codes).to_bytes())
    with pytest.raises(InputError, match=rf"the SHA-256 of {FIRST}\.tritimg is \w+, not \w+ as the manifest"):
        ImageReader(folder).matrix(FIRST)


def test_wrong_row_biases_are_found_even_where_the_checksums_agree(tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    beats = bytearray(pack_image(SMALL, MODEL.matrices[FIRST].codes))
    beats[0] ^= 1
    image = WeightImage.pack(SMALL, MODEL.matrices[FIRST].codes)
    object.__setattr__(image, "beats", bytes(beats))
    (folder / f"{FIRST}.tritimg").write_bytes(image.to_bytes())
    change(folder, lambda m: m["matrices"][0]["images"][0].update(sha256=sha256(beats).hexdigest()))
    with pytest.raises(
        InputError, match=rf"{FIRST}: the bias of row 0 is \d+; the row has \d+ weights of -1$"
    ):
        ImageReader(folder).matrix(FIRST)


def test_a_damaged_tensor_is_found_when_it_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    flip(folder / TENSORS, 40)
    reader = ImageReader(folder)
    assert reader.tensor("model.norm.weight").shape == (256,)
    with pytest.raises(
        InputError, match=r"embed_tokens\.weight: the SHA-256 is \w+, not \w+ as the manifest"
    ):
        reader.rows("model.embed_tokens.weight", 30, 31)


@pytest.mark.parametrize("name", [f"{FIRST}.tritimg", TENSORS])
def test_missing_and_shortened_files_are_refused_at_opening(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    path = folder / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with refused(f"{folder}: {name} has {size - 1} bytes; the manifest says {size}"):
        ImageReader(folder)
    path.unlink()
    with refused(f"{folder}: the file {name} is missing"):
        ImageReader(folder)


def image_of(document: dict[str, Any]) -> dict[str, Any]:
    image: dict[str, Any] = document["matrices"][0]["images"][0]
    return image


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda m: m.update(format="other"),
            "the manifest's format is 'other'; 'tritforge image bundle' is needed",
        ),
        (lambda m: m.update(format_version=9), "the manifest's format_version is 9; this release reads 1"),
        (lambda m: m.pop("decoder"), "the manifest: decoder is None; an object is needed"),
        (lambda m: m["accelerator"].update(rows=0), "rows is 0; it must lie in 1 to 256"),
        (
            lambda m: m["decoder"].update(num_hidden_layers=10**9),
            "the manifest lists 14 matrices; 1000000000 layers have 7000000000",
        ),
        (lambda m: m["tensors"].pop(), "the manifest lists 9 tensors; the model has 10"),
        (
            lambda m: m["matrices"].reverse(),
            "model.layers.0.self_attn.q_proj has shape (256, 512); the configuration says (256, 256)",
        ),
        (
            lambda m: m["matrices"][1].update(name="x"),
            "the manifest lists 'x' where model.layers.0.self_attn.k_proj belongs",
        ),
        (
            lambda m: m["matrices"][0].update(packing="s8"),
            "model.layers.0.self_attn.q_proj: packing is 's8'; the accelerator has i2",
        ),
        (
            lambda m: m["matrices"][0].update(scale_kind="factor"),
            "model.layers.0.self_attn.q_proj: scale_kind is 'factor'; one of divisor, multiplier is needed",
        ),
        (
            lambda m: m["matrices"][0].update(scale=0.1),
            "model.layers.0.self_attn.q_proj: scale is 0.1; a positive, finite float32 is needed",
        ),
        (
            lambda m: m["matrices"][0].update(scale=float("nan")),
            "the manifest cannot be read: it is not JSON: NaN is no number",
        ),
        (
            lambda m: m["matrices"][0].update(images=[]),
            "model.layers.0.self_attn.q_proj has 0 images; K of 256 takes 1",
        ),
        (
            lambda m: image_of(m).update(file="../secret"),
            "model.layers.0.self_attn.q_proj: the file name '../secret' leaves the folder; a plain name is needed",
        ),
        (
            lambda m: image_of(m).update(file="/etc/passwd"),
            "model.layers.0.self_attn.q_proj: the file name '/etc/passwd' leaves the folder; a plain name is needed",
        ),
        (
            lambda m: image_of(m).update(file="a\nb"),
            "model.layers.0.self_attn.q_proj: the file name 'a\\nb' leaves the folder; a plain name is needed",
        ),
        (
            lambda m: image_of(m).update(k_start=8),
            f"{FIRST}: {FIRST}.tritimg holds columns 8 to 256; 0 to 256 are needed",
        ),
        (
            lambda m: image_of(m).update(bytes=-1),
            "model.layers.0.self_attn.q_proj: bytes is -1; 0 or more is needed",
        ),
        (
            lambda m: m["matrices"][0].update(scales={"shape": [256], "offset": 0, "sha256": "0" * 64}),
            "model.layers.0.self_attn.q_proj: scales: shape is [256]; two positive numbers are needed",
        ),
        (
            lambda m: m["tensors"][1].update(shape=[255]),
            "model.norm.weight has shape [255]; the configuration says [256]",
        ),
        (
            lambda m: image_of(m).update(bytes=7),
            f"{FIRST}: {FIRST}.tritimg has 7 bytes of beats; its shape takes 16896",
        ),
        (
            lambda m: image_of(m).update(sha256="00"),
            "model.layers.0.self_attn.q_proj: sha256 is '00'; 64 hexadecimal digits are needed",
        ),
        (
            lambda m: m["tensors"][1].update(offset=0),
            "the manifest has a tensor at byte 0 of its file; 40960 is next",
        ),
        (
            lambda m: m["tensors"][-1].update(offset=m["tensors"][-1]["offset"] + 4),
            "the manifest has a tensor at byte 50180 of its file; 50176 is next",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    edit: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "image")
    change(folder, edit)
    with refused(f"{folder}: {message}"):
        ImageReader(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "the manifest cannot be read: it is not JSON: "),
        (b"[" * 100_000, "the manifest cannot be read: it is nested too deeply"),
        (b'{"a": 1, "a": 2}', "the manifest cannot be read: it is not JSON: the key a is there twice"),
        (b"[]", "the manifest is []; an object is needed"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(f'{tmp_path}: {message}')}"):
        ImageReader(tmp_path)


def test_a_changed_manifest_is_found_by_its_checksum(tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    document = json.loads((folder / MANIFEST).read_text())
    recorded = document["sha256"]
    document["matrices"][0]["scale"] *= 2
    (folder / MANIFEST).write_text(json.dumps(document))
    del document["sha256"]
    with refused(
        f"{folder}: the manifest's SHA-256 is {checksum(document)}, not {recorded} as recorded; "
        "it is damaged, write it again"
    ):
        ImageReader(folder)


SMALLEST = DecoderConfig(
    vocab_size=3,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=4,
)


@pytest.mark.parametrize("name", [MANIFEST, TENSORS, f"{FIRST}.tritimg"])
@pytest.mark.parametrize("cases", FUZZ_CASES)
def test_damaged_bundles_are_refused_or_read_as_they_were(cases: int, name: str, tmp_path: Path) -> None:
    model = random_model(SMALLEST, grid=(2, 1))
    folder = tmp_path / "image"
    write_images(MemoryReader(model), folder, AcceleratorConfig.from_dict({"packing": "s8"}, base=SMALL))
    valid = (folder / name).read_bytes()

    def check(content: bytes) -> None:
        (folder / name).write_bytes(content)

        def compare() -> None:
            with ImageReader(folder) as reader:
                verify_equal(MemoryReader(model), reader)

        read_or_refuse(compare)

    fuzz(cases, mutated(valid, [(0, 64), (0, len(valid))]), check)


def test_an_image_of_another_shape_is_refused_where_its_length_is_right(tmp_path: Path) -> None:
    folder = write(tmp_path / "image", AcceleratorConfig.from_dict({"negation": "carry"}, base=SMALL))
    name = "model.layers.0.mlp.up_proj"
    turned = WeightImage.pack(
        AcceleratorConfig.from_dict({"negation": "carry"}, base=SMALL), MODEL.matrices[name].codes.T
    )
    (folder / f"{name}.tritimg").write_bytes(turned.to_bytes())
    change(folder, lambda m: m["matrices"][5]["images"][0].update(sha256=sha256(turned.beats).hexdigest()))
    with refused(f"{folder}: {name}: {name}.tritimg holds 256 x 512; the manifest says 512 x 256"):
        ImageReader(folder).matrix(name)


def test_files_that_change_after_opening_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "image")
    reader = ImageReader(folder)
    (folder / TENSORS).write_bytes(b"")
    with refused(f"{folder}: model.norm.weight: {TENSORS} ends at byte 40960; 41984 are needed"):
        reader.tensor("model.norm.weight")
    (folder / TENSORS).unlink()
    with refused(f"{folder}: model.norm.weight: cannot read {TENSORS}: No such file or directory"):
        reader.tensor("model.norm.weight")


def test_a_manifest_must_be_there_and_of_a_sensible_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused(f"cannot read {tmp_path / MANIFEST}: No such file or directory"):
        sign_off(tmp_path)
    monkeypatch.setattr(image_bundle, "_MANIFEST_BYTES", 10)
    (tmp_path / MANIFEST).write_bytes(b"[" * 11)
    with refused(f"{tmp_path}: the manifest is longer than 10 bytes"):
        ImageReader(tmp_path)
