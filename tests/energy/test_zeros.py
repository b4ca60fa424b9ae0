"""Shares of zeros, from a checkpoint and from a file of measurements."""

import json
from pathlib import Path

import numpy as np
import pytest

from tritforge.accel.errors import InputError
from tritforge.energy import zeros
from tritforge.models.checkpoint import Checkpoint


def test_zero_weights_are_counted_in_the_checkpoint(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    codes = [matrix.codes for matrix in tiny_checkpoint.matrices.values()]
    expected = sum(int(np.sum(code == 0)) for code in codes) / sum(code.size for code in codes)
    assert zeros.zero_weights(tiny_checkpoint) == pytest.approx(expected)
    assert 0.1 < expected < 0.6
    tiny_checkpoint.save(tmp_path / "model.safetensors")
    assert zeros.measured_weights(str(tmp_path)) == pytest.approx(expected)


def test_zero_activations_weigh_as_often_as_they_are_used(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    matrices = [
        {"name": "a", "m": 10, "k": 10, "zero_activations": 0.5},
        {"name": "b", "m": 30, "k": 10, "zero_activations": 0.1},
    ]
    tiny_checkpoint.save(tmp_path / "model.safetensors")
    (tmp_path / "metrics.json").write_text(json.dumps({"matrices": matrices}))
    assert zeros.measured_acts(str(tmp_path)) == pytest.approx((0.5 * 100 + 0.1 * 300) / 400)


@pytest.mark.parametrize(
    "text", ["{}", '{"matrices": []}', '{"matrices": [{"m": 1}]}', "[", '{"matrices": 3}']
)
def test_a_file_without_shares_is_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(
        InputError, match=r"metrics\.json must hold a list 'matrices' of objects with m, k and zero"
    ):
        zeros.zero_acts(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        zeros.zero_acts(tmp_path / "none.json")
    assert str(caught.value) == (
        f"cannot read {tmp_path / 'none.json'}: No such file or directory; give a file of measured shares"
    )


def test_a_share_is_a_number() -> None:
    assert zeros.share("0.25", "zero_weights") == 0.25
    with pytest.raises(InputError) as caught:
        zeros.share("many", "zero_weights")
    assert str(caught.value) == "zero_weights is 'many'; a share from 0 to 1 or 'measured' is needed"
