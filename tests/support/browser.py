"""Chromium without a window, told what to do over a pair of pipes (``--remote-debugging-pipe``): no driver is needed.

The protocol is Chromium's own: messages of JSON, each ended by a zero byte, on file descriptors 3 and 4 of the
browser's process. https://chromedevtools.github.io/devtools-protocol
"""

import json
import os
import select
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Why a test is skipped.
MISSING = "no browser is installed: apt-get install chromium"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
#: Seconds within which the browser answers, on a machine that has other work.
_PATIENCE = 120.0


def find_browser() -> str | None:
    """Return the program of an installed browser."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """A browser with one page; a context manager, at whose end its process has ended and its profile is gone.

    Attributes
    ----------
    events
        What the browser told unasked, by name, in order.
    """

    def __init__(self, program: str) -> None:
        self._profile = TemporaryDirectory(prefix="tritforge-browser-", ignore_cleanup_errors=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The browser finds its pipes at 3 and 4, wherever this process has them.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            [
                "/bin/bash",
                "-c",
                script,
                program,
                *_FLAGS,
                f"--user-data-dir={self._profile.name}",
                "about:blank",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_browser, from_browser):
            os.close(end)
        self._rest, self._number = b"", 0
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Self:
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._out, self._in):
            os.close(end)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        """Return the next message; keep it among the events when it is one."""
        end = monotonic() + _PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - monotonic()))
            assert ready, f"the browser has said nothing for {_PATIENCE:g} seconds"
            more = os.read(self._in, 1 << 16)
            assert more, f"the browser has ended with status {self._process.poll()}"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def open(self, path: Path) -> None:
        """Show a file and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        while not any(name == "Page.loadEventFired" for name, _ in self.events):
            self._read()

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def emulate(self, media: str = "", **features: str) -> None:
        """Set the medium, such as ``print``, and its features, such as ``prefers_color_scheme="dark"``."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=listed)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Return a PNG of what is seen, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return b64decode(answer["data"])

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        answer = self.call(
            "Page.printToPDF",
            printBackground=True,
            preferCSSPageSize=True,
            generateTaggedPDF=True,
            generateDocumentOutline=True,
        )
        return b64decode(answer["data"])

    def names(self) -> list[tuple[str, str]]:
        """Return role and name of everything that assistive programs are told of."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"] and "role" in node
        ]

    @property
    def complaints(self) -> list[str]:
        """What the page's console and log say: errors, warnings, exceptions."""
        kinds = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [f"{name}: {parameters}" for name, parameters in self.events if name in kinds]

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        return [
            parameters["request"]["url"]
            for name, parameters in self.events
            if name == "Network.requestWillBeSent"
        ]
