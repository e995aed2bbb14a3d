"""The picture of `streamguard status`: what runs, what it does, what waits, what is wrong.

1. `collect.look` asks the parts once and gives a `model.Status`; what is not known is None.
2. `show.lines` makes the lines of a screen of it, `model.as_json` the document that docs/status.md describes.
3. `watch.watch` does that again and again.
"""

from streamguard.stack.status.collect import look
from streamguard.stack.status.model import Status, as_json

__all__ = ["Status", "as_json", "look"]
