"""`andromede down` and `andromede destroy`."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from rich.console import Console

from andromede.core.errors import CloudError
from andromede.drivers.hypervisor import State
from andromede.run import drivers, members, supervisor
from andromede.run.home import DEFAULT, USER, Home

out = Console(highlight=False)


def down(home: Home, *, servers: bool = False) -> None:
    """Stop the cloud's processes, those of hosts that were added first; with `servers`, its guests and their network too."""
    for one in members.members(home):
        down(one.home, servers=servers)
    pid = supervisor.pid_of(home.run) if home.run.exists() else None
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not supervisor.wait_ended(pid, 60):
            raise CloudError(f"The supervisor (process {pid}) does not end; its log says why: andromede logs supervisor")
        out.print("[green]✓[/] Processes stopped")
    elif not home.path.exists():
        out.print("There is no cloud here.")
        return
    elif supervisor.end_orphans(home.run):
        out.print("[green]✓[/] Processes stopped, which no supervisor kept any more")
    else:
        out.print("The cloud was not running.")
    if servers:
        count = asyncio.run(_stop_guests(home))
        _stop_daemons(home)
        out.print(f"[green]✓[/] {count} servers stopped, and their network")
    else:
        running = asyncio.run(_running(home))
        if running:
            out.print(f"  {len(running)} servers go on; stop them too with: andromede down --servers")


async def _running(home: Home) -> list[str]:
    hypervisor, plug = drivers.host_drivers(home)
    try:
        return [one.id for one in await hypervisor.observe() if one.state is not State.STOPPED]
    finally:
        await hypervisor.close()
        await plug.close()


async def _stop_guests(home: Home) -> int:
    """Ask every guest to shut down, and end those that do not."""
    from andromede.agent.halt import halt

    hypervisor, plug = drivers.host_drivers(home)
    try:
        return await halt(hypervisor, home.host_state)
    finally:
        await hypervisor.close()
        await plug.close()


def _stop_daemons(home: Home) -> None:
    """End the daemons that outlive the supervisor, last started first."""
    if drivers.fake(home):
        return
    from andromede.drivers.network.ovn.daemons import daemons

    for daemon in reversed(daemons(drivers.layout(home))):
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path(daemon.pidfile).read_text())
            handle = os.pidfd_open(pid)
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if daemon.argv[-1].encode() in words:
                supervisor.stop(pid, handle)
            os.close(handle)


def destroy(home: Home) -> None:
    """Remove the cloud: guests, network, files; of the default one the user too, where no other cloud needs it."""
    if not home.path.exists():
        out.print("There is no cloud here.")
        return
    added = home.added
    for one in members.members(home):
        destroy(one.home)
        members.forget(home, one.name)
    if home.run.exists():
        down(home)
        asyncio.run(_remove_guests(home))
        _stop_daemons(home)
        if not drivers.fake(home):
            drivers.teardown(home)
    if not home.added:
        from andromede.run.first import forget_clouds

        forget_clouds(home)
    for folder in (home.objects, *(each for found in home.object_classes.values() for each in found)):
        shutil.rmtree(folder, ignore_errors=True)
    keep = {"runtime"} if home.path == DEFAULT else set()
    for entry in home.path.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not keep:
        home.path.rmdir()
    if added:
        return
    _forget_user()
    out.print("[green]✓[/] The cloud is gone")


async def _remove_guests(home: Home) -> None:
    hypervisor, plug = drivers.host_drivers(home)
    try:
        for one in await hypervisor.observe():
            await hypervisor.remove(one.id)
    finally:
        await hypervisor.close()
        await plug.close()


def _forget_user() -> None:
    """Remove the user, unless something still runs as it or another cloud's files are its own."""
    found = subprocess.run(["pgrep", "-u", USER], check=False, capture_output=True, timeout=10)
    others = list(Path("/run/netns").glob("andromede-*")) if Path("/run/netns").exists() else []
    if found.returncode == 1 and not others:
        subprocess.run(["userdel", USER], check=False, capture_output=True, timeout=30)
