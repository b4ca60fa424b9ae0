"""Verilog that was generated before: found again by all that it depends on, since to generate it takes seconds."""

import inspect
import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from tritforge import accel
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.files import write_atomically
from tritforge.rtl import verilog
from tritforge.rtl.verilog import GeneratedCore


def cached_core(config: AcceleratorConfig, cache: Path, *, name: str) -> GeneratedCore:
    """Generate a core's Verilog, or read what was generated from the same configuration by the same program.

    The same program: the sources of `tritforge.accel`, of the generator and of the core's class, byte for byte, and
    the versions of what they generate with.

    Parameters
    ----------
    config
        The accelerator.
    cache
        Folder of what was generated.
    name
        Of the top module.

    Raises
    ------
    InputError
        The cache cannot be written.
    """
    path = cache / f"verilog-{_key(config, name)}.json"
    found = _read(path, config, name)
    if found is not None:
        return found
    generated = verilog.generate(config, name=name)
    document = {"sha256": generated.sha256, "ports": generated.ports, "text": generated.text}
    write_atomically(path, json.dumps(document))
    return generated


def _key(config: AcceleratorConfig, name: str) -> str:
    """Return a hash of all that the Verilog depends on."""
    folder = Path(inspect.getfile(accel)).parent
    # The class that the generator will take, which a program may have put in the place of the package's own.
    core = vars(verilog)["Core"]
    sources = {*folder.glob("*.py"), Path(inspect.getfile(verilog)), Path(inspect.getfile(core))}
    parts = [
        json.dumps(config.to_dict(), sort_keys=True),
        name,
        core.__qualname__,
        *(version(package) for package in ("tritforge", *verilog.TOOLS)),
        *(f"{path.name} {sha256(path.read_bytes()).hexdigest()}" for path in sorted(sources)),
    ]
    return sha256("\n".join(parts).encode()).hexdigest()[:20]


def _read(path: Path, config: AcceleratorConfig, name: str) -> GeneratedCore | None:
    """Return what a file holds; None without one, or with one that is not whole."""
    try:
        document = json.loads(path.read_text())
        core = GeneratedCore(
            name=name,
            config=config,
            text=document["text"],
            ports=tuple(dict(port) for port in document["ports"]),
        )
        whole = core.sha256 == document["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return core if whole else None
