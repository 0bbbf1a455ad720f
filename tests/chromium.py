"""Pages opened in headless Chromium, driven by a script that is added at their end."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
    "--dump-dom",
)


def run_in_page(page: Path, script: str, profile: Path, size: tuple[int, int] = (1200, 900), dark: bool = False) -> Any:
    """What a script's function body returns when it runs after the page's own; fails on console messages."""
    report = f"""<script>
    const ready = async () => {{
      while (!document.documentElement.dataset.ready) await new Promise((resolve) => setTimeout(resolve, 20));
    }};
    ready().then(async () => {{ {script} }}).then(
      (value) => ({{ value }}), (error) => ({{ error: String(error) }})
    ).then((outcome) => {{
      const said = document.createElement("pre");
      said.id = "outcome";
      said.textContent = JSON.stringify(outcome);
      document.body.append(said);
    }});
    </script>"""
    opened = profile / "page.html"
    opened.write_text(page.read_text(encoding="utf-8").replace("</body>", report + "</body>"), encoding="utf-8")
    command = [
        "chromium",
        *FLAGS,
        f"--user-data-dir={profile / 'chromium'}",
        f"--window-size={size[0]},{size[1]}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        opened.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert messages == []
    found = re.search(r'<pre id="outcome">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None
    outcome = json.loads(unescape(found[1]))
    assert "error" not in outcome, outcome["error"]
    return outcome["value"]
