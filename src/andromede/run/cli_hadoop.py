"""The command line of Hadoop clusters: `andromede hadoop create`, `submit`, `ui`, `scale`, `delete`, `list`, `show`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="hadoop", help="Hadoop clusters, as whoever OS_CLOUD names.")
HomeOption = Annotated[Path | None, Parameter(name="--home", help="Directory of the cloud; /var/lib/andromede by default.")]


@app.command
def create(
    name: str, /, *, workers: int = 3, flavor: str = "", master_flavor: str = "", network: str = "", key: str = "", pool: str = "", image: str = "",
    volumes: int = 0, volume_size: int = 10, transient: bool = False, job: str = "", grow_to: int = 0, home: HomeOption = None,
) -> None:  # fmt: skip
    """Make the cluster NAME of one master and some workers, and show how it comes to be.

    Parameters
    ----------
    workers
        How many workers.
    flavor
        Of the workers; the smallest with 2 GiB of memory without it.
    master_flavor
        Of the master, likewise.
    network
        The network of the nodes; the project's only one without it.
    key
        A key pair that lets you in.
    pool
        External network from which the master gets a floating address.
    image
        Id of an image; the newest registered one without it.
    volumes
        Volumes of each worker for HDFS.
    volume_size
        Their size in GiB.
    transient
        Delete it after the job, or when it has been idle.
    job
        A job to run as soon as it can: `terasort`, or a program as for `submit`.
    grow_to
        Let it grow to so many workers with what YARN waits for, and shrink again.
    """
    from rich.console import Console

    from andromede.run import hadoop

    api, out = hadoop.signed_in(home), Console()
    one = hadoop.create(
        api, name, workers=workers, master_flavor=master_flavor, worker_flavor=flavor, net=network, key=key, pool=pool, image=image,
        volumes=volumes, volume_size=volume_size, transient=transient, most=grow_to, out=out,
    )  # fmt: skip
    if job:
        sys.exit(hadoop.ended(hadoop.submit(api, one["id"], job, (), tell=out.print), out))


@app.command
def submit(
    name: str, program: str, /, *args: Annotated[str, Parameter(allow_leading_hyphen=True)], kind: Annotated[str, Parameter(name="--type")] = "",
    main_class: str = "", source: Annotated[str, Parameter(name="--input")] = "", target: Annotated[str, Parameter(name="--output")] = "",
    lib: tuple[str, ...] = (), home: HomeOption = None,
) -> None:  # fmt: skip
    """Run PROGRAM with ARGS on the cluster NAME, and wait for its end.

    PROGRAM is a script, a Python file (Spark) or a jar of this machine, a URL (swift://, s3://), or `terasort`.

    Parameters
    ----------
    kind
        MapReduce, Java, Spark or Shell, where the program's name does not say.
    main_class
        Class of a jar.
    source
        URL that it reads.
    target
        URL that it writes.
    lib
        More jars or files for it.
    """
    from rich.console import Console

    from andromede.run import hadoop

    api, out = hadoop.signed_in(home), Console()
    run = hadoop.submit(api, name, program, args, kind=kind, main_class=main_class, source=source, target=target, libs=lib, tell=out.print)
    sys.exit(hadoop.ended(run, out))


@app.command
def ui(name: str, /, *, key: str = "", port: int = 9870, home: HomeOption = None) -> None:
    """Lead the web pages of the cluster NAME to this machine through the cloud, for as long as this runs.

    Parameters
    ----------
    key
        File of a private key: they come through ssh instead, which needs a floating address of the master.
    port
        First port on this machine.
    """
    from rich.console import Console

    from andromede.run import hadoop

    sys.exit(hadoop.ui(hadoop.signed_in(home), name, key=key, first=port, out=Console()))


@app.command
def scale(name: str, workers: int, /, *, group: str = "worker", home: HomeOption = None) -> None:
    """Give the cluster NAME so many WORKERS; those that leave are decommissioned first.

    Parameters
    ----------
    group
        The group of nodes.
    """
    from andromede.run import hadoop

    hadoop.scale(hadoop.signed_in(home), name, workers, group=group)


@app.command
def delete(name: str, /, *, force: bool = False, home: HomeOption = None) -> None:
    """Delete the cluster NAME with all its nodes; its logs stay in the container hadoop-logs.

    Parameters
    ----------
    force
        Do not let its daemons end in order.
    """
    from andromede.run import hadoop

    seconds = hadoop.delete(hadoop.signed_in(home), name, force=force)
    sys.stdout.write(f"{name} is gone after {seconds:.1f} s.\n")


@app.command(name="list")
def listing(*, home: HomeOption = None) -> None:
    """List the clusters."""
    from rich.console import Console

    from andromede.run import hadoop

    hadoop.listing(hadoop.signed_in(home), Console())


@app.command
def show(name: str, /, *, home: HomeOption = None) -> None:
    """Show the cluster NAME: nodes, health, pages."""
    from rich.console import Console

    from andromede.run import hadoop

    hadoop.show(hadoop.signed_in(home), name, Console())
