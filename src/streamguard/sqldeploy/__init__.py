"""`streamguard deploy`: deploy SQL files to a ksqlDB server over REST, as often as needed.

1. `script.read` splits a file into statements, substitutes the DEFINEs and parses the results; `variables_of` has those
   that are settings.
2. `state.Server` asks the server which sources and queries it has.
3. `compare.same` compares a statement with what the server runs: unchanged, new or different.
4. `run.deploy` sends what is new, one statement after the other; what differs is replaced only when asked to.
5. `values.insert_first_values` gives a new table the rows that it begins with.
6. `modes.follow` pauses and resumes the queries of SQL rules, as the modes of the rules say.
"""

from streamguard.sqldeploy.modes import follow, off_queries
from streamguard.sqldeploy.run import Outcome, deploy, topics_of, variables_of
from streamguard.sqldeploy.script import DeployError
from streamguard.sqldeploy.values import insert_first_values

__all__ = [
    "DeployError",
    "Outcome",
    "deploy",
    "follow",
    "insert_first_values",
    "off_queries",
    "topics_of",
    "variables_of",
]
