"""The garbage collector looks at the state of queries once, and not at all of it again and again."""

from __future__ import annotations

import subprocess
import sys

ONCE = """
import gc, weakref
from streamguard_ksql.runtime import memory

class Circle:
    def __init__(self):
        self.me, self.rows = self, []

memory.look_at_state_once()
left = weakref.ref(Circle())
kept = Circle()
known = weakref.ref(kept)
looks = {0: 0, 1: 0, 2: 0}
gc.callbacks.append(lambda phase, info: looks.update({info["generation"]: looks[info["generation"]] + (phase == "start")}))
state = [[number] for number in range(3 * memory.YOUNG * (memory.YOUNG_COLLECTIONS + 2))]
assert left() is None, "a circle among what is new is found"
assert gc.get_freeze_count() > len(state) / 2, gc.get_freeze_count()
# What is left to be looked at is what came since the last look at all that is new.
assert sum(map(len, map(gc.get_objects, range(3)))) < memory.YOUNG * (memory.YOUNG_COLLECTIONS + 2)
del kept
gc.collect()
assert known() is not None, "it is as old as the state"
memory.give_back()
assert known() is None
before = dict(looks)
with memory.restoring(), memory.restoring():
    state += [[number] for number in range(3 * memory.YOUNG)]
    assert not gc.isenabled()
assert gc.isenabled() and looks == before and gc.get_freeze_count() > len(state) / 2
"""


def test_state_is_looked_at_once_and_circles_that_are_new_are_found() -> None:
    done = subprocess.run([sys.executable, "-c", ONCE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
