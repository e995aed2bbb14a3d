#!/usr/bin/env python3
"""desk_pictures.py [FOLDER]: pictures of every page of the desk, light and dark, from a stack with made transactions.

It starts a stack of its own in a temporary folder on free ports, sends an hour of transactions and then some a second, works on
alerts as analysts would, and writes FOLDER/NAME-light.webp and NAME-dark.webp (docs/images/desk, if no folder is given). It takes
some minutes. Needs what the browser tests need.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import text

from streamguard.bench.broker.node import free_port
from streamguard.config import load_settings
from streamguard.database import make_engine
from streamguard.users.sessions import Lifetimes, open_session

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = {
    "now": "/",
    "queue": "/queue?selected={alert}",
    "alert": "/alerts/{decided}",
    "accounts": "/accounts",
    "account": "/accounts/{account}",
    "merchant": "/merchants/{merchant}",
    "lists": "/lists/blacklist",
    "rules": "/rules",
    "rule": "/rules/HIGH_VELOCITY",
    "back-test": "/backtests/1",
    "topics": "/topics",
    "topic": "/topics/transactions?partition={partition}&from={offset}",
    "group": "/groups/{group}",
    "dead-letters": "/dead-letters",
    "dead-letter": "/dead-letters/{letter}",
    "sql": "/sql",
    "system": "/system",
    "audit": "/system/audit",
    "users": "/system/users",
    "webhooks": "/system/webhooks",
    "login": "/login",
}
VALUES = {
    "alert": "SELECT alert_id FROM fraud_alerts WHERE status = 'open' ORDER BY score DESC NULLS LAST, detected_at DESC LIMIT 1",
    "decided": "SELECT alert_id FROM decisions WHERE decided_by LIKE 'analyst:%' ORDER BY score DESC NULLS LAST, 1 LIMIT 1",
    "account": "SELECT account_id FROM fraud_alerts JOIN account_risk_profile USING (account_id) WHERE status = 'confirmed'"
    " ORDER BY transactions DESC, 1 LIMIT 1",
    "merchant": "SELECT merchant_id FROM transactions WHERE is_fraud GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
    "partition": "SELECT source_partition FROM transactions ORDER BY source_offset DESC, 1 LIMIT 1",
    "offset": "SELECT source_offset - 20 FROM transactions ORDER BY source_offset DESC, source_partition LIMIT 1",
    "letter": "SELECT source_topic || '/' || source_partition || '/' || source_offset FROM dead_letters"
    " ORDER BY length(raw_value) DESC, 1 LIMIT 1",
}
CUSTOMERS = ("--seed", "7", "--customers", "600")
FRAUD = ("--fraud-share", "0.015", "--begin-with", "velocity_burst", "--begin-with", "card_testing")
QUERY = "SELECT account_id, amount, currency, city FROM transactions EMIT CHANGES LIMIT 12;"
QUALITY = 0.5
LATELY_S = 330


def main() -> None:
    """Start, fill, photograph, stop."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "desk"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        names = ("KAFKA", "KSQLDB", "POSTGRES", "DESK")
        os.environ.update({f"STREAMGUARD_{name}_PORT": str(free_port()) for name in names}, STREAMGUARD_STATE_DIR=state)
        run("up", "--no-generator")
        try:
            hour()
            words = command("generate", "stream", "--tps", "3", *CUSTOMERS, *FRAUD)
            live = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                fill()
                time.sleep(LATELY_S)  # until nothing but the stream is in the figures of the last minutes
                photograph(folder)
            finally:
                live.terminate()
                live.wait(timeout=60)
        finally:
            run("down", "--wipe")


def command(*arguments: str) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", "streamguard.cli", *arguments]


def run(*arguments: str) -> None:
    """Run a command of ours; its output is shown where it fails."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")


def query(statement: str) -> list[tuple[object, ...]]:
    """Rows of the stack's database."""
    with make_engine(load_settings()).begin() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def hour() -> None:
    """The transactions of the last hour, sent within two minutes."""
    begin = f"{datetime.now(timezone.utc) - timedelta(minutes=58):%Y-%m-%dT%H:%M:%SZ}"
    paced = ("--tps", "90", "--duration", "120", "--time-scale", "30", "--start", begin)
    run("generate", "stream", *paced, "--bad", "malformed=0.004", *CUSTOMERS, *FRAUD)


def fill() -> None:
    """Decisions, users, list entries and a back-test, as after a morning's work."""
    for name, role in (("ana", "analyst"), ("ben", "analyst"), ("carla", "lead")):
        run("users", "add", name, role)
    [(merchant,)] = query(VALUES["merchant"])
    run("blacklist", "add", "merchant", str(merchant), "--reason", "chargebacks in November", "--by", "carla")
    run("blacklist", "add", "device", "dev-5a1f77", "--reason", "emulator", "--days", "30", "--by", "ana")
    run("rules", "set", "NIGHT_AMOUNT", "shadow", "--reason", "measured first", "--by", "carla")
    worst = "SELECT alert_id FROM fraud_alerts WHERE outcome <> 'dismiss' ORDER BY score DESC, alert_id LIMIT 24"
    for number, (alert_id,) in enumerate(query(worst)):
        if number % 2:
            verdict = "dismiss" if number % 3 == 2 else "confirm"
            reason = {"dismiss": "customer confirmed it", "confirm": "customer denies it"}[verdict]
            run("alerts", verdict, str(alert_id), "--reason", reason, "--by", ("ana", "ben")[number % 4 // 2])
    run("backtest", "--define", "velocity_count=2")


def photograph(folder: Path) -> None:
    """Every page in both themes."""
    settings = load_settings()
    values = {name: query(statement)[0][0] for name, statement in VALUES.items()} | {"group": settings.consumer_group}
    query("UPDATE users SET must_change = FALSE RETURNING 1")
    with make_engine(settings).begin() as connection:
        token = open_session(connection, "ana", Lifetimes(timedelta(hours=1), timedelta(hours=1)))
        connection.execute(text("UPDATE users SET role = 'admin' WHERE user_name = 'ana'"))
    url = f"http://127.0.0.1:{settings.desk_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        canvas = browser.new_page()
        for theme in ("light", "dark"):
            page = new_page(browser, url, theme)
            page.goto("/login")
            shoot(page, canvas, folder / f"login-{theme}.webp")
            page.context.add_cookies([{"name": "streamguard", "value": token, "url": url}])
            page.goto("/system")  # begins the checks, whose result is there when the page is looked at
            for name, path in PAGES.items():
                if name != "login":
                    page.goto(path.format_map(values))
                    if name == "sql":
                        page.fill("#text", QUERY)
                        page.keyboard.press("Control+Enter")
                        page.wait_for_selector("#output tbody tr:nth-child(12)")
                    shoot(page, canvas, folder / f"{name}-{theme}.webp")
        browser.close()


def new_page(browser: Browser, url: str, theme: str) -> Page:
    """A page as a person with this theme sees it."""
    size = {"width": 1440, "height": 900}
    context = browser.new_context(base_url=url, viewport=size, color_scheme=theme, timezone_id="America/Sao_Paulo")  # type: ignore[arg-type]
    return context.new_page()


def shoot(page: Page, canvas: Page, file: Path) -> None:
    """A picture, once the page has its data; the browser packs it."""
    page.wait_for_load_state("load")
    page.wait_for_timeout(1_000)  # figures of the stream, rows that arrive
    taken = base64.b64encode(page.screenshot()).decode()
    file.write_bytes(base64.b64decode(canvas.evaluate(PACK, [taken, QUALITY])))


PACK = """async ([taken, quality]) => {
    const picture = await createImageBitmap(await (await fetch('data:image/png;base64,' + taken)).blob());
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext('2d').drawImage(picture, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/webp', quality })).arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''));
}"""


if __name__ == "__main__":
    main()
