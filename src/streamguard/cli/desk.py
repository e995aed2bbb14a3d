"""`streamguard desk`: the web desk, until it is stopped."""

from __future__ import annotations

import logging

from streamguard.cli.shared import new_app
from streamguard.config import get_settings
from streamguard.config.logs import configure_logging

app = new_app("Run the web desk, until stopped.")


@app.command()
def desk() -> None:
    """Serve the desk at STREAMGUARD_DESK_HOST and STREAMGUARD_DESK_PORT, until SIGTERM or Ctrl-C."""
    from streamguard.desk.serve import run

    settings = get_settings()
    configure_logging("desk", settings)
    # Its clients come and go with the pages: what matters of them is on the pages.
    logging.getLogger("kafka").setLevel(logging.WARNING)
    run(settings)
