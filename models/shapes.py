"""Shapes of language models, each with its source: what a count of operations or of bytes needs to know.

A shape is not a model that can be run (that is `tritforge.models.config.DecoderConfig`): it covers gated and
plain feed-forward networks, grouped queries, mixtures of experts and models without attention, and its
vocabulary may be unknown.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig

#: Bits of information in one weight, by the kind of weights.
WEIGHT_BITS = {"ternary": log2(3), "binary": 1.0, "float16": 16.0}

#: How far a shape can be trusted, from most to least.
STATUSES = {
    "verified": "read in its primary source",
    "secondary": "read in a secondary copy",
    "deduced": "deduced from published figures that it reproduces",
    "recalled": "recalled, not read in a source",
    "typed": "typed in by the user",
}

MIXERS = ("attention", "hgrn")

#: Short names of shapes.
ALIASES = {"bitnet-2b4t": "microsoft/bitnet-b1.58-2B-4T"}

_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_local_experts",
    "num_experts_per_tok",
)
_OPTIONAL_SIZES = ("vocab_size", "max_position_embeddings")


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One kind of weight matrix in a layer.

    Attributes
    ----------
    name
        Name in the layer, as Hugging Face has it.
    inputs, outputs
        Length of a dot product, and the number of them.
    active, resident
        Copies that a token passes through, and copies that a layer holds; they differ with experts.
    """

    name: str
    inputs: int
    outputs: int
    active: int = 1
    resident: int = 1


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Shape of a decoder by the field names of Hugging Face's ``config.json``, and where it is from.

    Attributes
    ----------
    name
        Name that the shape is looked up by.
    hidden_size, intermediate_size, num_hidden_layers
        Widths of the residual stream and of the feed-forward network (of one expert), and the depth.
    num_attention_heads, num_key_value_heads, head_dim
        Query heads, the heads that share keys and values, and their width; heads times width need not be
        the hidden size.
    source
        Document that the numbers are from.
    status
        One of `STATUSES`.
    vocab_size, max_position_embeddings
        None where the source does not say.
    hidden_act
        Activation of the feed-forward network; None where the source does not say.
    ffn_gated
        A gate beside the up projection: three matrices, not two.
    mixer
        What carries content between tokens: ``attention``, or ``hgrn``, a gated linear recurrence with
        four square projections.
    num_local_experts, num_experts_per_tok
        Feed-forward networks in a layer, and those that a token passes through.
    tie_word_embeddings
        None where the source does not say.
    lm_head_ternary, sub_norms
        A ternary LM head; norms before the output and down projections.
    rope_theta, rms_norm_eps
        Base of the rotary frequencies, addend of the norms; None where the source does not say.
    weights
        ``ternary``, ``binary`` or ``float16``.
    act_bits, kv_bits
        Widths of activations and of cached keys and values in use; empty where the source does not say.
    recalled
        Fields that were recalled while the rest has the `status`.
    note
        What else a reader should know.

    Raises
    ------
    InputError
        A size that is not a positive whole number, heads that do not divide, more active experts than
        there are, a value outside its list, or no source.
    """

    name: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    source: str
    status: str
    vocab_size: int | None = None
    max_position_embeddings: int | None = None
    hidden_act: str | None = None
    ffn_gated: bool = True
    mixer: str = "attention"
    num_local_experts: int = 1
    num_experts_per_tok: int = 1
    tie_word_embeddings: bool | None = None
    lm_head_ternary: bool = False
    sub_norms: bool = False
    rope_theta: float | None = None
    rms_norm_eps: float | None = None
    weights: str = "ternary"
    act_bits: tuple[int, ...] = ()
    kv_bits: tuple[int, ...] = ()
    recalled: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        where = f"shape {self.name!r}"
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"a shape's name is {self.name!r}; give it a name")
        if not isinstance(self.source, str) or not self.source.strip():
            raise InputError(f"{where} has no source; name the document that it is from")
        self._check_numbers(where)
        for field, allowed in (
            ("status", tuple(STATUSES)),
            ("mixer", MIXERS),
            ("weights", tuple(WEIGHT_BITS)),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(f"{where}: {field} is {value!r}; it must be one of {', '.join(allowed)}")
        for field in ("ffn_gated", "lm_head_ternary", "sub_norms", "tie_word_embeddings"):
            value = getattr(self, field)
            if not isinstance(value, bool) and (value is not None or field != "tie_word_embeddings"):
                raise InputError(f"{where}: {field} is {value!r}; true or false is needed")
        unknown = sorted(set(self.recalled) - {field.name for field in fields(self)})
        if unknown:
            raise InputError(f"{where}: recalled names {', '.join(unknown)}, which is no field of a shape")

    def _check_numbers(self, where: str) -> None:
        for field in _SIZES + _OPTIONAL_SIZES:
            value = getattr(self, field)
            if value is None and field in _OPTIONAL_SIZES:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{where}: {field} is {value!r}; a whole number of 1 or more is needed")
        for field in ("act_bits", "kv_bits"):
            value = getattr(self, field)
            if not isinstance(value, tuple) or not all(type(bits) is int and bits > 0 for bits in value):
                raise InputError(f"{where}: {field} is {value!r}; a list of positive whole numbers is needed")
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"{where}: num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.num_experts_per_tok > self.num_local_experts:
            raise InputError(
                f"{where}: num_experts_per_tok {self.num_experts_per_tok} is above "
                f"num_local_experts {self.num_local_experts}"
            )

    @property
    def linears(self) -> tuple[Linear, ...]:
        """Weight matrices of one layer."""
        h, f = self.hidden_size, self.intermediate_size
        q, kv = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        if self.mixer == "hgrn":
            mixing = tuple(Linear(name=f"attn.{gate}_proj", inputs=h, outputs=h) for gate in "ifgo")
        else:
            mixing = (
                Linear(name="self_attn.q_proj", inputs=h, outputs=q),
                Linear(name="self_attn.k_proj", inputs=h, outputs=kv),
                Linear(name="self_attn.v_proj", inputs=h, outputs=kv),
                Linear(name="self_attn.o_proj", inputs=q, outputs=h),
            )
        prefix = "mlp" if self.num_local_experts == 1 else "mlp.experts"
        network = (("gate_proj", h, f),) if self.ffn_gated else ()
        return mixing + tuple(
            Linear(
                name=f"{prefix}.{name}",
                inputs=inputs,
                outputs=outputs,
                active=self.num_experts_per_tok,
                resident=self.num_local_experts,
            )
            for name, inputs, outputs in (*network, ("up_proj", h, f), ("down_proj", f, h))
        )

    @property
    def linear_parameters(self) -> int:
        """Weights of the matrices of all layers, every expert counted."""
        per_layer = sum(linear.inputs * linear.outputs * linear.resident for linear in self.linears)
        return self.num_hidden_layers * per_layer

    @property
    def active_linear_parameters(self) -> int:
        """Weights that a token meets in the matrices of all layers."""
        per_layer = sum(linear.inputs * linear.outputs * linear.active for linear in self.linears)
        return self.num_hidden_layers * per_layer

    @property
    def ternary_parameters(self) -> int:
        """Ternary weights, a ternary LM head included; 0 for a model whose weights are not ternary.

        Raises
        ------
        InputError
            The LM head is ternary and the vocabulary is unknown.
        """
        if self.weights != "ternary":
            return 0
        return self.linear_parameters + (self.embedding_parameters if self.lm_head_ternary else 0)

    @property
    def embedding_parameters(self) -> int:
        """Numbers in the embedding table; an LM head that is not tied to it has as many again.

        Raises
        ------
        InputError
            The vocabulary is unknown.
        """
        if self.vocab_size is None:
            raise InputError(f"shape {self.name!r} has no vocab_size, so its embeddings cannot be counted")
        return self.vocab_size * self.hidden_size

    @property
    def weight_bits(self) -> float:
        """Bits of information in one weight of the matrices."""
        return WEIGHT_BITS[self.weights]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "ModelShape":
        """Build from an entry of a shape file.

        Raises
        ------
        InputError
            A field is missing, unknown or out of bounds.
        """
        name = document.get("name")
        known = {field.name for field in fields(cls)}
        required = [field.name for field in fields(cls) if field.default is MISSING]
        missing = [field for field in required if field not in document]
        if missing:
            raise InputError(f"shape {name!r} lacks {', '.join(missing)}")
        unknown = sorted(set(document) - known)
        if unknown:
            raise InputError(f"shape {name!r} has the unknown field {', '.join(unknown)}")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**values)

    @classmethod
    def from_decoder(cls, config: DecoderConfig, *, name: str, source: str) -> "ModelShape":
        """Take the shape of a decoder that can be run."""
        return cls(
            name=name,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            source=source,
            status="verified",
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_position_embeddings,
            hidden_act=config.hidden_act,
            tie_word_embeddings=config.tie_word_embeddings,
            sub_norms=config.sub_norms,
            rope_theta=config.rope_theta,
            rms_norm_eps=config.rms_norm_eps,
            act_bits=(8,),
        )


def read_shapes(path: Path) -> dict[str, ModelShape]:
    """Read a file of shapes: a JSON list of objects with the fields of `ModelShape`.

    Raises
    ------
    InputError
        The file cannot be read, or a shape in it is wrong or stands there twice.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file of shapes") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} must hold a JSON list of shapes")
    shapes: dict[str, ModelShape] = {}
    for entry in entries:
        shape = ModelShape.from_dict(entry)
        if shape.name in shapes:
            raise InputError(f"{path} has the shape {shape.name!r} twice; keep one")
        shapes[shape.name] = shape
    return shapes


@cache
def all_shapes() -> Mapping[str, ModelShape]:
    """Return the shapes that come with the package, by name."""
    return read_shapes(Path(__file__).parent / "data" / "shapes.json")


def is_shape(name: str) -> bool:
    """Whether a shape has this name or alias, as `find_shape` takes it."""
    try:
        find_shape(name)
    except InputError:
        return False
    return True


def find_shape(name: str) -> ModelShape:
    """Look up a shape by its name or alias, upper and lower case alike; an owner before a slash may be left out.

    Raises
    ------
    InputError
        No shape has that name; the message lists those that come close.
    """
    shapes = all_shapes()
    if name in shapes:
        return shapes[name]
    wanted = ALIASES.get(name.casefold(), name).casefold()
    names = {key.casefold(): key for key in shapes}
    short = {key.rpartition("/")[2]: full for key, full in names.items()}
    if wanted in names or wanted in short:
        return shapes[names.get(wanted) or short[wanted]]
    close = get_close_matches(wanted, [*names, *short], n=6, cutoff=0.5)
    found = list(dict.fromkeys(names.get(key) or short[key] for key in close))[:3]
    hint = (
        f"did you mean {' or '.join(found)}?"
        if found
        else f"there are {len(shapes)}, such as {next(iter(shapes))}; tritforge models lists them"
    )
    raise InputError(f"no model shape is called {name!r}; {hint}")


def resolve_shape(name: str) -> ModelShape:
    """Return the shape of a shipped model, of the shapes by name, or of what lies at a path.

    A path may be a ``config.json`` of Hugging Face, a folder that holds one, or a checkpoint's file or folder.

    Raises
    ------
    InputError
        There is none of these, or the file is damaged or says too little.
    """
    # Here, since these read weights and most users of a shape have none.
    from tritforge.models import library
    from tritforge.models.formats import open_checkpoint
    from tritforge.models.hf_config import CONFIG, shape_from_config

    path = Path(name)
    shipped = name in library.names()
    if not shipped and name not in all_shapes():
        if path.suffix == ".json" or (path / CONFIG).is_file():
            return shape_from_config(path)
        if not path.exists():
            return find_shape(name)
    if shipped or name not in all_shapes():
        with open_checkpoint(name) as reader:
            config = reader.config
        what = f"the model {name} that comes with tritforge" if shipped else f"the checkpoint {name}"
        return ModelShape.from_decoder(config, name=name, source=what)
    return find_shape(name)
