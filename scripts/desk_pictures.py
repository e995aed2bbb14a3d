#!/usr/bin/env python3
"""desk_pictures.py [FOLDER]: pictures of every page of the desk, light and dark, from a stack with made transactions.

It starts a stack of its own in a temporary folder, lets the generator run for a minute, works some alerts as an analyst would,
and writes FOLDER/NAME-light.png and NAME-dark.png (docs/images/desk, if no folder is given). Needs what the browser tests need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import text

from streamguard.bench.broker.node import free_port
from streamguard.config import load_settings
from streamguard.database import make_engine
from streamguard.users.sessions import Lifetimes, open_session

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = {
    "now": "/",
    "queue": "/queue",
    "alert": "/alerts/{alert}",
    "accounts": "/accounts",
    "account": "/accounts/{account}",
    "lists": "/lists/blacklist",
    "rules": "/rules",
    "rule": "/rules/HIGH_VELOCITY",
    "topics": "/topics",
    "topic": "/topics/transactions",
    "groups": "/groups",
    "dead-letters": "/dead-letters",
    "sql": "/sql",
    "system": "/system",
    "audit": "/system/audit",
    "users": "/system/users",
    "webhooks": "/system/webhooks",
    "login": "/login",
}
MINUTE_S = 60


def main() -> None:
    """Start, fill, photograph, stop."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "desk"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        names = ("KAFKA", "KSQLDB", "POSTGRES", "DESK")
        os.environ.update({f"STREAMGUARD_{name}_PORT": str(free_port()) for name in names}, STREAMGUARD_STATE_DIR=state)
        run("up", "--no-generator")
        try:
            run("generate", "stream", "--tps", "60", "--duration", str(MINUTE_S), "--seed", "7")
            fill()
            photograph(folder)
        finally:
            run("down", "--wipe")


def run(*arguments: str) -> None:
    """A command of ours; its output is shown where it fails."""
    done = subprocess.run([sys.executable, "-m", "streamguard.cli", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")


def query(statement: str) -> list[tuple[object, ...]]:
    """Rows of the stack's database."""
    with make_engine(load_settings()).begin() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def fill() -> None:
    """Decisions, users, list entries, as after a morning's work."""
    for name, role in (("ana", "analyst"), ("ben", "analyst"), ("carla", "lead")):
        run("users", "add", name, role)
    run("blacklist", "add", "merchant", "M-00042", "--reason", "chargebacks in November", "--by", "carla")
    run("blacklist", "add", "device", "dev-5a1f77", "--reason", "emulator", "--days", "30", "--by", "ana")
    open_alerts = query(
        "SELECT alert_id FROM fraud_alerts WHERE outcome <> 'dismiss' ORDER BY score DESC, alert_id LIMIT 9"
    )
    for number, (alert_id,) in enumerate(open_alerts[3:]):
        verdict = "dismiss" if number % 3 == 2 else "confirm"
        run("alerts", verdict, str(alert_id), "--reason", "customer called", "--by", ("ana", "ben")[number % 2])


def photograph(folder: Path) -> None:
    """Every page in both themes."""
    settings = load_settings()
    [(alert, account)] = query(
        "SELECT alert_id, account_id FROM fraud_alerts WHERE status = 'open' ORDER BY score DESC, 1 LIMIT 1"
    )
    with make_engine(settings).begin() as connection:
        token = open_session(connection, "admin", Lifetimes(timedelta(hours=1), timedelta(hours=1)))
    url = f"http://127.0.0.1:{settings.desk_port}"
    query("UPDATE users SET must_change = FALSE RETURNING 1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto("/login")
            shoot(page, folder / f"login-{theme}.png")
            context.add_cookies([{"name": "streamguard", "value": token, "url": url}])
            for name, path in PAGES.items():
                if name != "login":
                    page.goto(path.format(alert=alert, account=account))
                    shoot(page, folder / f"{name}-{theme}.png")
        browser.close()


def shoot(page: Page, file: Path) -> None:
    """A picture, once the page has its data."""
    page.wait_for_load_state("load")
    time.sleep(1.5)  # graphs of the last seconds, rows that arrive
    page.screenshot(path=file)


if __name__ == "__main__":
    main()
