"""`streamguard deploy`: deploy SQL files to a ksqlDB server over REST, as often as needed.

1. `script.read` splits a file into statements, substitutes the DEFINEs and parses the results; `variables_of` has those
   that are settings.
2. `state.Server` asks the server which sources and queries it has.
3. `compare.same` compares a statement with what the server runs: unchanged, new or different.
4. `run.plan` says what is to be done; `run.deploy` sends what is new, one statement after the other.
5. `replace.carry_out` replaces rules that differ, from now on or from the beginning, without a gap; `flow` knows how far
   queries have read.
6. `shadow` rewrites files so that they run beside what runs, `journal` keeps what was deployed so, `promote` makes it real
   or drops it, `difference` compares the alerts of both.
7. `values.insert_first_values` gives a new table the rows that it begins with.
8. `modes.follow` pauses and resumes the queries of SQL rules, as the modes of the rules say.
"""

from streamguard.sqldeploy.modes import follow, off_queries
from streamguard.sqldeploy.replace import Replacing, carry_out
from streamguard.sqldeploy.run import Outcome, Plan, deploy, plan, topics_of, variables_of
from streamguard.sqldeploy.script import DeployError
from streamguard.sqldeploy.values import insert_first_values

__all__ = [
    "DeployError",
    "Outcome",
    "Plan",
    "Replacing",
    "carry_out",
    "deploy",
    "follow",
    "insert_first_values",
    "off_queries",
    "plan",
    "topics_of",
    "variables_of",
]
