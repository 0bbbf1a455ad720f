"""Headless Chromium, spoken to in its DevTools protocol over a pipe."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40}
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Chromium:
    """A browser without a window.

    Attributes:
        complaints: What pages wrote to the console, and their exceptions.
        requests: The addresses that pages asked for.
    """

    def __init__(self, profile: Path) -> None:
        # the protocol reads from descriptor 3 and writes to descriptor 4
        command = ["sh", "-c", 'exec chromium "$@" 3<&0 4>&1 1>&2', "sh", *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._sent = 0
        self._received = b""
        self.complaints: list[dict[str, Any]] = []
        self.requests: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.call("Browser.close")
        self._process.communicate()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result, noting the events that come before it."""
        assert self._process.stdin is not None
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        content = message | ({"sessionId": session} if session else {})
        self._process.stdin.write(json.dumps(content).encode() + b"\0")
        self._process.stdin.flush()
        while (answer := self._next()).get("id") != self._sent:
            if answer.get("method") in COMPLAINTS:
                self.complaints.append(answer["params"])
            elif answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\0" not in self._received:
            content = self._process.stdout.read1()
            assert content, "Chromium ended"
            self._received += content
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


class Tab:
    """A page that is open in a browser, after its script has run."""

    def __init__(self, browser: Chromium, page: Path, width: int = 1200, dark: bool = False) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        wait = "await new Promise((resolve) => setTimeout(resolve, 20));"
        self.run(f'while (!document.querySelector("html[data-ready]")) {wait}')

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to this page and return its result."""
        return self._browser.call(method, self._session, **parameters)

    def run(self, script: str) -> Any:
        """What a script, the body of an asynchronous function, returns."""
        expression = f"(async () => {{ {script} }})()"
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other."""
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key)
            stroke = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]} | ({"text": text} if text else {})
            self.call("Input.dispatchKeyEvent", type="keyDown", **stroke)
            self.call("Input.dispatchKeyEvent", type="keyUp", **stroke)
