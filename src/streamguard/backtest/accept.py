"""May a change that was back-tested be deployed, and what is it?"""

from __future__ import annotations

import orjson

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.spec import Spec


def check_ended(result: str) -> None:
    """Raise BacktestError where a query of B has ended in the back-test; `result` is what was kept."""
    for query, why in sorted(orjson.loads(result)["sides"]["b"]["ended"].items()):
        raise BacktestError(f"nothing is deployed: the query {query} of B has ended in the back-test: {why}")


def sql_of_change(spec: Spec) -> str:
    """The SQL that B changes, exactly as it was back-tested, as the text of a file.

    Raises BacktestError where B is more than SQL, or changes none.
    """
    if spec.a.limits != spec.b.limits or spec.a.modes != spec.b.modes:
        raise BacktestError(
            "a deployment is SQL alone, and this back-test changes limits or modes of rules too: set those with"
            " STREAMGUARD_RULES_* and a restart of the consumer, and on the page of the rule"
        )
    tested = {sql.key: sql.text for sql in spec.b.statements}
    texts = [tested[key].strip().rstrip(";") for key in tested if key in spec.change]
    if not texts:
        raise BacktestError("this back-test changes no SQL: there is nothing to deploy")
    return "".join(f"{text};\n\n" for text in texts)
