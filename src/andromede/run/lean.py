"""Imported before anything else by processes that go on running, so that they load less, and sooner.

structlog loads rich and pygments where they are installed, and nothing here writes to a terminal: 5 MiB and 0.1 s of each
process. Looking for garbage while modules are loaded finds none and takes a tenth of the time.
"""

import gc
import sys

for _name in ("rich", "colorama", "better_exceptions"):
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]  # what the import system takes for "there is none"
gc.disable()


def settled() -> None:
    """All is loaded: from here on garbage is collected, and what was loaded is never looked through again."""
    gc.freeze()
    gc.enable()
