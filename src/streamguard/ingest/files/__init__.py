"""Any file as rows: CSV, JSON, Parquet and OFX, compressed or not, from a path or from standard input.

1. `streams` opens the path and takes off compression and archives, by content.
2. `refusals` names what is not opened (pickle, spreadsheets, PDF, ...) and what to do instead.
3. `opening.open_source` recognises the format, by content first and by name second, and has its reader find the columns.
4. `Source.rows` yields every line once, as a `Row` or as an `Unreadable` with the reason. Nothing is converted: text of a
   CSV stays text, and a number of JSON keeps its digits.
5. `refused.RefusedFile` writes what was refused to a file that can be mended by hand and read again as it is.
"""

from streamguard.ingest.files.errors import InputError
from streamguard.ingest.files.opening import open_source
from streamguard.ingest.files.refused import RefusedFile
from streamguard.ingest.files.source import REASON_COLUMN, Row, Source, Unreadable

__all__ = ["REASON_COLUMN", "InputError", "RefusedFile", "Row", "Source", "Unreadable", "open_source"]
