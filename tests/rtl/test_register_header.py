"""The C header and the example compile without a warning, and the example runs an accelerator in simulation."""

import ctypes
import queue
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_host import BusHost, Surroundings, image_beats, operand_beats, results_of, run_host
from driving import Product

from tritforge.accel.control_config import ControlConfig
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.descriptor import Response
from tritforge.accel.presets import PRESETS
from tritforge.accel.register_map import registers
from tritforge.rtl.register_header import EXAMPLE, HEADER_NAME, render_header, write_header

TINY = PRESETS["tiny"]
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")
CONTROLS = (
    ControlConfig(),
    ControlConfig(results="memory", address_bits=40),
    ControlConfig(results="store", address_bits=16, activation_store_bytes=4096, result_store_bytes=4096),
)
#: What the example calls in the place of its accesses to memory.
HOOKS = """
#include <stdint.h>
extern uint32_t (*tritforge_read_hook)(uint32_t);
extern void (*tritforge_write_hook)(uint32_t, uint32_t);
#define TRITFORGE_READ(page, offset) ((void)(page), tritforge_read_hook(offset))
#define TRITFORGE_WRITE(page, offset, value) ((void)(page), tritforge_write_hook(offset, value))
"""
HOOK_DEFINITIONS = """
#include "tritforge_example.c"
uint32_t (*tritforge_read_hook)(uint32_t);
void (*tritforge_write_hook)(uint32_t, uint32_t);
"""


def compiler() -> str:
    """The C compiler that the simulator needs too."""
    path = shutil.which("gcc") or shutil.which("cc")
    assert path is not None, "no C compiler"
    return path


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.results)
def test_the_header_and_the_example_compile_without_a_warning(control: ControlConfig, tmp_path: Path) -> None:
    _, example = write_header(tmp_path, TINY, control)
    program = tmp_path / "example"
    subprocess.run([compiler(), *STRICT, example.name, "-o", program.name], cwd=tmp_path, check=True)
    result = subprocess.run([program], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: ")


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.results)
def test_the_header_has_every_register_and_field_of_the_map(control: ControlConfig) -> None:
    config = replace(TINY, partial_sums=True)
    text = render_header(config, control)
    defined = dict(re.findall(r"#define (TRITFORGE_\w+) (\w+)", text))
    for name, register in registers(config, control).items():
        stem = f"TRITFORGE_{name}"
        assert int(defined.pop(f"{stem}_OFFSET").rstrip("u"), 16) == register.offset
        if register.constant is not None:
            assert int(defined.pop(f"{stem}_VALUE").rstrip("u"), 16) == register.constant
        if register.count > 1:
            assert defined.pop(f"{stem}_COUNT") == f"{register.count}u"
        for field in register.fields:
            part = f"{stem}_{field.name.upper()}"
            assert defined.pop(f"{part}_SHIFT") == f"{field.shift}u"
            assert int(defined.pop(f"{part}_MASK").rstrip("u"), 16) == field.mask
            for index, value in enumerate(field.names):
                assert defined.pop(f"{part}_{value.upper()}") == f"{index}u"
    assert not defined


class CJob(ctypes.Structure):
    """``struct tritforge_job``."""

    _fields_ = (
        ("m", ctypes.c_uint32),
        ("k", ctypes.c_uint32),
        ("tokens", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("weights", ctypes.c_uint64),
        ("results", ctypes.c_uint64),
        ("stride", ctypes.c_uint32),
    )


WAIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)


class CDevice(ctypes.Structure):
    """``struct tritforge``."""

    _fields_ = (("page", ctypes.c_void_p), ("wait", WAIT), ("argument", ctypes.c_void_p))


class Example:
    """The example as a library whose accesses a simulation answers.

    The program runs in a thread of its own; each of its accesses stops it until the simulation has made it, and the
    simulation stands still until the next one comes.
    """

    def __init__(self, folder: Path, control: ControlConfig) -> None:
        write_header(folder, TINY, control)
        (folder / "hooks.h").write_text(HOOKS)
        (folder / "hooks.c").write_text(HOOK_DEFINITIONS)
        flags = (*STRICT, "-include", "hooks.h", "-DTRITFORGE_NO_MAIN", "-shared", "-fPIC")
        subprocess.run([compiler(), *flags, "hooks.c", "-o", "example.so"], cwd=folder, check=True)
        self.library = ctypes.CDLL(str(folder / "example.so"))
        self.requests: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.answers: queue.Queue[int] = queue.Queue()
        self.hooks = (READ(lambda offset: self._ask("read", offset)), WRITE(self._write))
        for name, hook in zip(("tritforge_read_hook", "tritforge_write_hook"), self.hooks, strict=True):
            pointer = ctypes.c_void_p.in_dll(self.library, name)
            pointer.value = ctypes.cast(hook, ctypes.c_void_p).value
        for name in ("tritforge_start", "tritforge_wait"):
            getattr(self.library, name).restype = ctypes.c_uint32
        self.interrupt = WAIT(lambda _: self._ask("interrupt"))

    def _ask(self, *request: Any) -> int:
        self.requests.put(request)
        return self.answers.get(timeout=60)

    def _write(self, offset: int, value: int) -> None:
        self._ask("write", offset, value)

    async def run(self, host: BusHost, dut: ControlledCore, program: Callable[[], None]) -> None:
        """Run a program that calls the library, with its accesses made on the simulated bus."""
        thread = ThreadPoolExecutor(1)
        ended = thread.submit(program)
        ended.add_done_callback(lambda _: self.requests.put(("end",)))
        while (request := self.requests.get(timeout=60))[0] != "end":
            if request[0] == "interrupt":
                while not host.ctx.get(dut.irq):
                    await host.ctx.tick()
                self.answers.put(0)
            else:
                write, data = request[0] == "write", request[2] if request[0] == "write" else 0
                word, known = await host.access(request[1], write=write, data=data)
                assert known, f"the example accesses {request[1]:#x}"
                self.answers.put(word)
        ended.result()


@pytest.mark.parametrize("interrupts", [False, True], ids=["polling", "interrupt"])
def test_the_example_runs_jobs_on_the_hardware(interrupts: bool, tmp_path: Path) -> None:
    control = ControlConfig(results="memory")
    dut, example, around = ControlledCore(TINY, control), Example(tmp_path, control), Surroundings(pause=0.2)
    generator = np.random.default_rng(5)
    jobs = [Product.random(generator, m, k, tokens) for m, k, tokens in ((5, 30, 2), (9, 11, 4), (3, 3, 1))]
    for index, product in enumerate(jobs):
        around.images[0x1000 * index] = image_beats(dut, product)
        around.operands.extend(operand_beats(dut, product))
    around.images[0x1000][1] = (0, Response.DECERR)
    errors = dut.map["ERRORS"]

    def program() -> None:
        library = example.library
        device = CDevice(page=0, wait=example.interrupt if interrupts else WAIT(0))
        pointer, number = ctypes.byref(device), ctypes.c_uint32()
        assert library.tritforge_identify(pointer) == 0
        library.tritforge_prepare(pointer)
        refused = CJob(m=0, k=1, tokens=1, weights=4)
        causes = library.tritforge_start(pointer, ctypes.byref(refused), ctypes.byref(number))
        assert errors.set_names(causes) == ["illegal_job"]
        numbers = []
        for index, product in enumerate(jobs):
            m, k, tokens = product.shape
            job = CJob(m=m, k=k, tokens=tokens, weights=0x1000 * index, results=0x800, stride=0x40)
            assert library.tritforge_start(pointer, ctypes.byref(job), ctypes.byref(number)) == 0
            numbers.append(number.value)
        assert numbers == [0, 1, 2]
        ends = [errors.set_names(library.tritforge_wait(pointer, number)) for number in numbers]
        assert ends == [[], ["weight_decerr"], []]
        library.tritforge_abort(pointer)

    async def host(host: BusHost) -> None:
        await example.run(host, dut, program)
        assert errors.set_names(await host.read("ERRORS")) == ["weight_decerr"]

    run_host(dut, host, around)
    for index in (0, 2):
        words, _ = around.packets[index]
        np.testing.assert_array_equal(results_of(dut, words, jobs[index]), jobs[index].expected)
    assert [store["stride"] for store in around.stored] == [0x40] * 3


def test_the_example_refuses_another_accelerator(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    example = Example(tmp_path, ControlConfig())
    dut = ControlledCore(replace(TINY, lanes=16), ControlConfig())

    def program() -> None:
        assert example.library.tritforge_identify(ctypes.byref(CDevice(page=0, wait=WAIT(0)))) != 0

    async def host(host: BusHost) -> None:
        await example.run(host, dut, program)

    run_host(dut, host, Surroundings())
    assert "ARRAY reads 0x00040010, the header has 0x00040008\n" in capfd.readouterr().err


def test_causes_have_names_in_c(tmp_path: Path) -> None:
    """Every bit of ERRORS is printed by its name."""
    write_header(tmp_path, TINY, ControlConfig())
    (tmp_path / "names.c").write_text(
        '#define TRITFORGE_NO_MAIN\n#include "tritforge_example.c"\n'
        "int main(void)\n{\n    tritforge_print_causes(stdout, UINT32_MAX);\n    return 0;\n}\n"
    )
    subprocess.run([compiler(), *STRICT, "names.c", "-o", "names"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "names"], capture_output=True, text=True, check=True).stdout.split()
    assert printed == [field.name for field in registers(TINY, ControlConfig())["ERRORS"].fields]


def test_the_header_is_named_in_the_example() -> None:
    assert f'#include "{HEADER_NAME}"' in EXAMPLE.read_text()
