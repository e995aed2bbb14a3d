"""`streamguard deploy`: bring SQL files to a ksqlDB server over REST, as often as one likes.

1. `script.read` cuts a file into statements, takes the DEFINEs, fills them in and parses what comes out.
2. `state.Server` asks the server which sources and queries it has.
3. `compare.same` holds a statement against what the server runs: unchanged, new or different.
4. `run.deploy` sends what is new, one statement after the other; what differs is replaced only when asked to.
"""

from streamguard.sqldeploy.run import Outcome, deploy
from streamguard.sqldeploy.script import DeployError

__all__ = ["DeployError", "Outcome", "deploy"]
