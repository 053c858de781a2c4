"""The drive's face for the wiring: what it does by itself."""

from andromede.core.context import Parts
from andromede.engine.model import Reconciler
from andromede.services.drive import leaving, upkeep


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Those of the drive. Needs `parts.database` and `parts.objects.store`."""

    def leave() -> str:
        count = parts.database.run(leaving.forget)
        return f"{count} users have left" if count else ""

    return [*upkeep.reconcilers(parts), Reconciler("drive.leaving", 3600.0, leave)]
