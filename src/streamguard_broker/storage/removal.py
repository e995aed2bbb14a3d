"""The removal of the oldest records of a partition, by retention, DeleteRecords or a rewrite of a coordinator's state.

As a sync it is three steps: `PartitionLog.begin_delete` or `begin_retention` says what goes, `RemovalWork.run` does it on
any thread, `PartitionLog.end_delete` records it. Order on disk: the new start offset first, then the files, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.segment import Segment


@dataclass
class RemovalWork:
    """What one removal covers.

    segments      that are removed; the partition does not read them any more
    start_offset  the new start, on request; None: it is that of the first segment that stays
    content       of the file with the start offset
    error         set by `run` if the disk fails
    """

    fs: FileSystem
    segments: list[Segment]
    start_offset: int | None = None
    path: Path | None = None
    content: bytes = b""
    error: OSError | None = None

    def run(self) -> None:
        """Store the start offset and remove the files; an OSError is stored in `error`. May be called on any thread."""
        try:
            if self.path is not None:
                self.fs.replace_file(self.path, self.content)
            for segment in self.segments:
                segment.remove_files()
        except OSError as error:
            self.error = error
