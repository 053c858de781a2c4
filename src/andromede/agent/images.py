"""A host's own hold on the images its guests use: a hard link (a copy across filesystems), kept while a guest needs it.

So an image that is deleted from the cloud stays under the guests that were made from it.
"""

import os
import shutil
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.host import Image


class ImageCache:
    """The images in one folder, by id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def ensure(self, image: Image) -> str:
        """The path of this host's hold on `image`. Raises DriverError where its bytes cannot be had."""
        path = self._folder / image.id
        if path.exists():
            return str(path)
        try:
            os.link(image.path, path)
        except FileNotFoundError as error:
            raise DriverError(f"The data of image {image.id} is not there.") from error
        except OSError:
            self._copy(image, path)
        return str(path)

    def _copy(self, image: Image, path: Path) -> None:
        temporary = path.with_suffix(".part")
        try:
            shutil.copyfile(image.path, temporary)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise DriverError(f"The host has no room for image {image.id}.") from error

    def keep(self, ids: set[str]) -> None:
        """Let go of every image but these."""
        for path in self._folder.iterdir():
            if path.stem not in ids:
                path.unlink(missing_ok=True)
