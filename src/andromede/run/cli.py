"""The command line: `andromede up`, `down`, `status`, `logs`, `doctor`, `destroy`, `operations`, `image`, `host`, `hadoop`,
`openstack`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from andromede import __version__
from andromede.core.errors import CloudError
from andromede.run import cli_hadoop

app = App(name="andromede", help="A sovereign cloud on this machine.", version=__version__, version_flags=["--version"])
HomeOption = Annotated[Path | None, Parameter(name="--home", help="Directory of the cloud; /var/lib/andromede by default.")]


@app.command
def up(*, home: HomeOption = None) -> None:
    """Start the cloud; on a new machine make it first, boot a first server, and say how to log in."""
    from andromede.run.up import up as start

    start(_home(home))


@app.command
def down(*, servers: bool = False, home: HomeOption = None) -> None:
    """Stop the cloud. Servers and their network go on.

    Parameters
    ----------
    servers
        Shut the servers down too.
    """
    from andromede.run.down import down as halt

    halt(_home(home), servers=servers)


@app.command
def status(*, home: HomeOption = None) -> None:
    """Show each process, daemon and host: its health, and why not."""
    from andromede.run.show import status as show

    sys.exit(0 if show(_home(home)) else 1)


@app.command
def logs(part: str = "", /, *, follow: Annotated[bool, Parameter(name=["--follow", "-f"])] = False, home: HomeOption = None) -> None:
    """Show what the processes log, of one PART (api, engine, agent, ovs-vswitchd, …) or of all.

    Parameters
    ----------
    follow
        Go on with what is logged from now on.
    """
    from andromede.run.home import Home

    folder = Home.at(home).logs
    names = [folder / f"{part}.log"] if part else sorted(folder.glob("*.log"))
    missing = [path for path in names if not path.exists()]
    if missing or not names:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "none yet"
        sys.exit(f"There is no log of {part or 'any part'}. Parts with a log: {known}.")
    command = ["tail", "-n", "200", *(["-F"] if follow else []), *map(str, names)]
    sys.exit(subprocess.run(command, check=False).returncode)


@app.command
def doctor(*, home: HomeOption = None) -> None:
    """Find out what this machine can do, with each consequence and remedy."""
    from andromede.run.doctor import doctor as examine

    sys.exit(0 if examine(_home(home)) else 1)


@app.command
def destroy(*, yes: bool = False, home: HomeOption = None) -> None:
    """Remove the cloud with all its servers and data, and nothing else.

    Parameters
    ----------
    yes
        Do not ask.
    """
    from andromede.run.down import destroy as remove

    where = _home(home)
    if not yes and input(f"This removes every server, image and key in {where.path}. Type 'destroy' to go on: ").strip() != "destroy":
        sys.exit("Nothing was removed.")
    remove(where)


@app.command
def operations(*, home: HomeOption = None) -> None:
    """List what the cloud is doing: what runs, is due, has failed, and why."""
    from andromede.run.show import operations as show

    show(_home(home))


@app.command
def metrics(*, home: HomeOption = None) -> None:
    """Print the engine's metrics in Prometheus' format; `engine.metrics_port` in the settings serves them too."""
    from andromede.engine.metrics import ask

    try:
        sys.stdout.write(ask(_home(home).metrics_socket).text)
    except OSError:
        sys.exit("The engine does not run. See: andromede status")


@app.command
def image(name: str = "", /, *, home: HomeOption = None) -> None:
    """Build the guest image NAME (petit, debian, debian-lxc, hadoop) and offer it to everybody in the cloud; without a name, list what there is."""
    from andromede.run.guest_images import listing, offer
    from andromede.run.up import Steps

    where, steps = _home(home), Steps()
    if not name:
        for known, what in listing():
            steps.out.print(f"{known:11} {what}")
        return
    found = offer(where, name, steps)
    steps.out.print(f"\nThe image is {found['id']}: openstack image show {name}")


storage = App(name="storage", help="What the object store holds, and whether it is whole.")
app.command(storage)


@storage.command(name="usage")
def storage_usage(*, home: HomeOption = None) -> None:
    """Show what each project keeps, and what it takes on disk."""
    from andromede.run.storage import usage

    usage(_home(home))


@storage.command(name="check")
def storage_check(*, repair: bool = False, give_up: bool = False, fast: bool = False, home: HomeOption = None) -> None:
    """Compare the index with the data, and every byte with its checksum; the cloud may run meanwhile.

    Parameters
    ----------
    repair
        Build the index again where it differs, mend what can be mended, and remove what belongs to nothing.
    give_up
        With `--repair`: remove the objects whose record can't be read any more and that nothing can bring back. Until then, they
        and the listings that they are in answer with an error.
    fast
        Leave the bytes of large objects unread.
    """
    from andromede.run.storage import check

    check(_home(home), repair=repair, deep=not fast, give_up=give_up)


@storage.command(name="compact")
def storage_compact(*, home: HomeOption = None) -> None:
    """Give back the room of what was removed. The engine does so by itself from time to time."""
    from andromede.run.storage import compact

    compact(_home(home))


audit = App(name="audit", help="Who did what: the log, and the proof that nobody altered it.")
app.command(audit)


@audit.command(name="verify")
def audit_verify(*, known: list[Path] | None = None, home: HomeOption = None) -> None:
    """Check every event, hash and signature of the audit log. Ends with status 1 where anything was altered.

    Parameters
    ----------
    known
        File with a checkpoint that was kept from before: the log must still begin with what it vouches for.
    """
    from andromede.run.audit import verify

    verify(_home(home), known or [])


@audit.command(name="checkpoint")
def audit_checkpoint(*, home: HomeOption = None) -> None:
    """Print the newest signed checkpoint. Keep it where the cloud's operators cannot reach it."""
    from andromede.run.audit import checkpoint

    checkpoint(_home(home))


@audit.command(name="key")
def audit_key(*, home: HomeOption = None) -> None:
    """Print the public key that the log is signed with."""
    from andromede.run.audit import key

    key(_home(home))


@audit.command(name="export")
def audit_export(path: Path, /, *, home: HomeOption = None) -> None:
    """Write the log into the file PATH, for a verifier that needs nothing of this cloud."""
    from andromede.run.audit import export

    export(_home(home), path)


host = App(name="host", help="More hosts of the cloud on this machine.")
app.command(host)


@host.command(name="add")
def host_add(name: str, /, *, at: Annotated[Path, Parameter(name="--at")], home: HomeOption = None) -> None:
    """Add the host NAME to the cloud: an agent of its own, with its own switch, guests and volumes.

    Parameters
    ----------
    at
        Directory of the host, such as one on another disk; it is made.
    """
    from andromede.run.hosts import add

    add(_home(home), name, at)


@host.command(name="list")
def host_list(*, home: HomeOption = None) -> None:
    """List the hosts on this machine."""
    from andromede.run.hosts import listing

    listing(_home(home))


@host.command(name="remove")
def host_remove(name: str, /, *, home: HomeOption = None) -> None:
    """Take the host NAME away, once it has no servers and no volumes."""
    from andromede.run.hosts import remove

    remove(_home(home), name)


app.command(cli_hadoop.app)


@app.command(help_flags=[], version_flags=[])
def openstack(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
    """Run the standard client, signed in as the first user (`--os-cloud andromede-admin` for the admin); `--home DIR` before its words."""
    from andromede.run.home import Home

    program = Path(sys.executable).with_name("openstack")
    if not program.exists():
        sys.exit("The openstack client is not installed beside this program: pip install 'andromede[clients]'.")
    words, home = list(tokens), None
    if words[:1] == ["--home"] and len(words) > 1:
        home, words = Path(words[1]), words[2:]
    name = Home.at(home).name
    env = {**os.environ, "OS_CLOUD": name} if home else {"OS_CLOUD": name, **os.environ}
    os.execve(program, [str(program), *words], env)  # noqa: S606


@app.command(show=False)
def process(name: Literal["api", "object", "engine", "agent", "supervisor"], *, home: HomeOption = None) -> None:
    """Run one process of the cloud in the foreground; for systemd."""
    from andromede.run.home import Home
    from andromede.run.processes import PROCESSES

    PROCESSES[name](Home.at(home))


def _home(directory: Path | None):  # type: ignore[no-untyped-def]
    from andromede.run.home import Home

    if os.getuid() != 0:
        sys.exit("This needs root: it makes networks, users and processes. Use ./andromede, which asks for sudo by itself.")
    return Home.at(directory)


def main() -> None:
    """The entry point: errors are one sentence, not a trace."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except CloudError as error:
        reason = f"\n  {error.__cause__}" if error.__cause__ else ""
        sys.exit(f"andromede: {error.message}{reason}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        time.sleep(0)
        sys.exit(0)


if __name__ == "__main__":
    main()
