"""The report: one file that opens without a network, for anybody, in light and dark."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import nullcontext
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from playwright.sync_api import sync_playwright

from streamguard.analytics.catalogue import JOBS, load_jobs
from streamguard.analytics.report import ReportError, render, write_report
from streamguard.analytics.report.words import cell
from streamguard.analytics.run import Analysis, Result, analyse
from streamguard.config import load_settings
from tests.streamguard.analytics.data import TRANSACTION, Made, write
from tests.streamguard.desk.every_page import problems

load_jobs()
NOW = datetime(2026, 4, 1, 12, tzinfo=timezone.utc)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def one_merchant(name: str) -> Analysis:
    """A result of a single row."""
    row: dict[str, Any] = {
        "currency": "EUR",
        "merchant_id": "M-1",
        "merchant_name": name,
        "merchant_category": None,
        "payments": 2,
    }
    row |= {"amount": Decimal("1234567.5000"), "commission": Decimal("24691.35"), "accounts": 1, "frauds": 1}
    row |= {"blocked": 0, "reviewed": 0, "fraud_amount": Decimal("1.0000"), "average": Decimal("617283.7500")}
    row |= {"fraud_share": 0.5, "risk_share": 0.0052, "risk": "usual"}
    result = Result(JOBS["merchants"], uuid4(), {"merchants": pa.Table.from_pylist([row])}, 0.1)
    return Analysis("postgres", NOW, NOW, 2, (result,))


def test_what_people_wrote_stays_text() -> None:
    page = render(one_merchant("</script><script>alert(1)</script>"), NOW)
    assert "<script>alert(1)" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page)
    assert found is not None and "alert(1)" in str(json.loads(found[1]))


def test_values_are_as_people_read_them() -> None:
    page = render(one_merchant("Shop"), NOW)
    for shown in ("1,234,567.50", "50.0 %", "0.52 %", "617,283.75", "–"):
        assert f">{shown}</td>" in page
    assert cell("weekday", 7) == "Sunday" and cell("at", NOW) == "2026-04-01 12:00"


def test_it_asks_no_other_host() -> None:
    page = render(one_merchant("Shop"), NOW)
    without_plotly = re.sub(r"<script>(?:(?!</script>).)*plotly.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", without_plotly)
    assert "default-src 'none'" in page


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="name another folder with --to"):
        write_report(one_merchant("Shop"), tmp_path / "file", NOW)


def test_the_first_minutes_have_a_report_too(
    engine: Any, small: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few payments without merchant, label or alert: too little for a forecast, no fraud, nobody to score against."""
    bare = {"merchant_id": None, "merchant_name": None, "merchant_category": None, "is_fraud": None}
    few = [{**payment, **bare} for payment in small.payments[:3]]
    write(tmp_path / "lake" / "transactions", few, TRANSACTION)
    monkeypatch.setattr("streamguard.analytics.session.spark", lambda folder: nullcontext(engine))
    found = analyse(load_settings(lake_uri=str(tmp_path / "lake")), store=False)
    assert [(result.job.name, result.error) for result in found.results] == [(name, None) for name in sorted(JOBS)]
    page = render(found, NOW)
    for said in (
        "a forecast takes four whole weeks",
        "takes sixty days of payments",
        "Nothing was found in this range.",
    ):
        assert said in page


@pytest.mark.soak
def test_it_opens_in_a_browser_without_a_network(
    engine: Any, small: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if CHROMIUM is None:
        pytest.skip("the browser tests need Chromium: `apt-get install chromium`")
    monkeypatch.setattr("streamguard.analytics.session.spark", lambda folder: nullcontext(engine))
    file = write_report(analyse(load_settings(lake_uri=str(small.lake)), store=False), tmp_path, NOW)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_context(offline=True).new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        undrawn = "[...document.querySelectorAll('.plot')].filter(p => p.offsetParent && !p.querySelector('.main-svg'))"
        page.wait_for_function(f"{undrawn}.length === 0")
        assert page.locator(".plot:visible").count() >= len(JOBS)
        assert not problems(page)
        page.get_by_role("button", name="KES").click()
        assert page.locator("[data-currency=KES]").first.is_visible()
        assert not page.locator("[data-currency=BRL]").first.is_visible()
        page.wait_for_function(f"{undrawn}.length === 0")
        browser.close()
    assert not said
    assert [url.split(":")[0] for url in asked] == ["file"]
