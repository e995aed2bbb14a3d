"""The desk measured in real browsers: from the event of a transaction to its alert on the screen.

Each tab notes when an alert is shown (`deskArrivals` of static/desk.js). The clock of the browsers is that of this machine.
Playwright and a Chromium are needed; they are no part of the installation.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from streamguard.config import UserError

NEEDS = "`pip install playwright` and a Chromium (`apt-get install chromium`) are needed for this measurement"


class NoBrowser(UserError):
    """There is no browser to measure with."""


@dataclass(frozen=True)
class DeskFigures:
    """From event to screen over all tabs, milliseconds; what the desk's process used meanwhile."""

    tabs: int
    shown: int
    alerts: int
    latencies_ms: Sequence[float]
    core_share: float
    memory_mb: float


def measure(url: str, token: str, pid: int, *, browsers: int, tabs: int, tps: float, seconds: int) -> DeskFigures:
    """Open `tabs` tabs in each of some browsers on the first page, run the generator, and read what they noted.

    `token` is of a login at the desk, whose process is `pid`. Raises NoBrowser.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowser(NEEDS) from None
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise NoBrowser(NEEDS)
    with sync_playwright() as playwright:
        opened = [playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) for _ in range(browsers)]
        pages: list[Any] = []
        for browser in opened:
            context = browser.new_context(base_url=url)
            context.add_cookies([{"name": "streamguard", "value": token, "url": url}])
            context.add_init_script("window.deskArrivals = []")
            for _ in range(tabs):
                page = context.new_page()
                page.goto("/")
                if page.url.endswith("/password"):
                    raise UserError("the user of the browsers has to choose a password first: log in at the desk once")
                page.locator("#live-state:text-is('live')").wait_for(timeout=30_000)
                pages.append(page)
        process = psutil.Process(pid)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        _generate(tps, seconds)
        time.sleep(1.0)  # what was sent last is shown
        used, passed = sum(process.cpu_times()[:2]) - before, time.monotonic() - began
        noted = [page.evaluate("window.deskArrivals") for page in pages]
        memory = process.memory_info().rss / 1e6
        for browser in opened:
            browser.close()
    latencies: list[float] = []
    alerts: set[tuple[str, str]] = set()
    for arrivals in noted:
        seen: set[tuple[str, str]] = set()
        for alert_id, at, shown_ms in arrivals:
            key = (alert_id, at)
            if key in seen:
                continue  # shown again for another reason, such as its decision
            seen.add(key)
            latencies.append(shown_ms - datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() * 1000)
        alerts |= seen
    return DeskFigures(len(pages), len(latencies), len(alerts), sorted(latencies), used / passed, memory)


def _generate(tps: float, seconds: int) -> None:
    command = [sys.executable, "-m", "streamguard.cli", "generate", "stream", "--tps", f"{tps:g}"]
    done = subprocess.run(
        [*command, "--duration", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise UserError(
            f"the generator failed: {done.stdout.strip().splitlines()[-1] if done.stdout else done.returncode}"
        )
