"""The programs of a cloud, in the order of starting."""

import os

import msgspec

from andromede.core.daemon import Daemon
from andromede.core.errors import CloudError
from andromede.run.home import Home, ensure_user
from andromede.run.programs import have, not_installed
from andromede.run.supervisor import command


class _Network(msgspec.Struct):
    """What the host side of the network needs: its daemons, and the namespace that the agent works in."""

    daemons: list[Daemon] = []
    namespace: str = ""
    failed: str = ""


def controllers(home: Home) -> list[Daemon]:
    """What needs nothing of this host: it connects to daemons when it first needs one, and takes the longest to load."""
    if home.added:
        return []
    given = home.settings.api
    host = "127.0.0.1" if given.listen in ("0.0.0.0", "::") else given.listen  # noqa: S104
    return [
        _ours(home, "engine", str(home.engine_socket)),
        _ours(home, "api", f"tcp:{host}:{given.port}"),
        _ours(home, "object", f"tcp:{host}:{home.settings.object.s3_port}"),
    ]


def host(home: Home) -> list[Daemon]:
    """The daemons of this host's network, and the agent. Raises CloudError where the network cannot be made ready."""
    network = _network(home)
    enter = ("/usr/bin/nsenter", f"--net={network.namespace}", "--") if network.namespace else ()
    return [*network.daemons, _ours(home, "agent", str(home.agent_socket), root=True, enter=enter)]


def _ours(home: Home, name: str, ready: str, *, root: bool = False, enter: tuple[str, ...] = ()) -> Daemon:
    uid, gid = (0, 0) if root else ensure_user()
    return Daemon(
        name=name, argv=(*enter, *command(name, home.path)), env={"MALLOC_ARENA_MAX": "2"}, ready=ready, uid=uid, gid=gid,
        umask=0o077 if root else 0o007,
    )  # fmt: skip


def _network(home: Home) -> _Network:
    """Make the host side of the network ready, in a child: its libraries would stay with the supervisor for as long as it runs."""
    if home.settings.compute.hypervisor == "fake":
        return _Network()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(msgspec.json.encode(_prepared(home)))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    network = msgspec.json.decode(said or b'{"failed": "The network of this host cannot be made ready."}', type=_Network)
    if network.failed:
        raise CloudError(network.failed)
    return network


def _prepared(home: Home) -> _Network:
    from andromede.run import drivers

    try:
        return _Network(drivers.prepare(home), str(drivers.layout(home).namespace_path))
    except CloudError as error:
        return _Network(failed=f"{error.message} {error.__cause__ or ''}".strip())
    except FileNotFoundError as error:
        if not error.filename or have(str(error.filename)):
            raise
        return _Network(failed=f"{not_installed(str(error.filename))}.")
