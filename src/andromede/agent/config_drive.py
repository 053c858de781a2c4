"""The config drive: an ISO 9660 image labelled `config-2` with a server's metadata. Source: Nova's metadata documentation.

What EC2's service answers below `latest/` stays out: there a name may be both a document and a folder.
"""

import io
import os
import shutil
from pathlib import Path

import pycdlib


def lay(path: Path, files: dict[str, bytes]) -> None:
    """The same files in a folder: a container has no drives, and finds them where cloud-init looks."""
    wanted = {name: content for name, content in files.items() if not name.startswith("latest/")}
    there = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if there == wanted:
        return
    temporary = path.with_suffix(".part")
    for old in (temporary, path):
        shutil.rmtree(old, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    for name, content in wanted.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(content)
    temporary.rename(path)


def build(path: Path, files: dict[str, bytes]) -> None:
    """Write the image with `files` by path, unless it is there; only its owner may read it."""
    if path.exists():
        return
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="config-2")
    made: dict[str, str] = {"": ""}

    def folder(name: str) -> str:
        if name not in made:
            parent, _, leaf = name.rpartition("/")
            above = folder(parent)
            made[name] = f"{above}/D{len(made)}"
            image.add_directory(made[name], rr_name=leaf, joliet_path=f"/{name}")
        return made[name]

    for number, (name, content) in enumerate(sorted(files.items())):
        if name.startswith("latest/"):
            continue
        parent, _, leaf = name.rpartition("/")
        image.add_fp(io.BytesIO(content), len(content), f"{folder(parent)}/F{number}.;1", rr_name=leaf, joliet_path=f"/{name}")
    temporary = path.with_suffix(".part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        image.write_fp(file)
    image.close()
    temporary.replace(path)
