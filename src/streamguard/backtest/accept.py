"""May a change that was back-tested be deployed, and what is it?"""

from __future__ import annotations

import orjson

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.spec import Spec
from streamguard.backtest.statements import by_key, chain, chains


def check_ended(result: str) -> None:
    """Raise BacktestError where a query of B has ended in the back-test; `result` is what was kept."""
    for query, why in sorted(orjson.loads(result)["sides"]["b"]["ended"].items()):
        raise BacktestError(f"nothing is deployed: the query {query} of B has ended in the back-test: {why}")


def sql_of_change(spec: Spec) -> str:
    """The SQL that B changes, exactly as it was back-tested, as the text of a file: with the rules that read from it, which a
    deployment makes anew too, and with what they need.

    Raises BacktestError where B is more than SQL, or changes none.
    """
    if spec.a.limits != spec.b.limits or spec.a.modes != spec.b.modes:
        raise BacktestError(
            "a deployment is SQL alone, and this back-test changes limits or modes of rules too: set those with"
            " STREAMGUARD_RULES_* and a restart of the consumer, and on the page of the rule"
        )
    if not spec.change:
        raise BacktestError("this back-test changes no SQL: there is nothing to deploy")
    tested = by_key(spec.b.statements)
    readers = [
        key for key, sql in tested.items() if sql.is_rule and {s.key for s in chain(tested, key)} & set(spec.change)
    ]
    texts = [sql.text.strip().rstrip(";") for sql in chains(tested, [*spec.change, *readers])]
    return "".join(f"{text};\n\n" for text in texts)
