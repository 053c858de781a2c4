"""One job, in a process of its own as the user hadoop: fetches what it is made of, runs it, and ends as it ends.

Everything goes to standard output and error, which are the job's log. The exit status is 0 where the job succeeded.
"""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import document, s3
from .document import S3, Job
from .health import ask
from .places import Places
from .roles import JAVA
from .sites import xml

SPARK = "usr/lib/spark"


def say(line: str) -> None:
    """A line of the job's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class JobError(Exception):
    """The job cannot be run; the message is for its user."""


def main(place: Path, places: Places) -> int:
    """Run the job whose order is in the folder `place`; answers the exit status."""
    order = json.loads((place / "job.json").read_text())
    job = document.job(order["job"])
    try:
        files = fetch(job, S3(**order["s3"]), place)
        words = command(job, files, place, places, order["spark"])
    except (JobError, s3.S3Error, OSError) as error:
        say(f"The job could not begin: {error}")
        return 2
    say(f"Running {' '.join(word for word in words if not word.startswith('@'))}")
    done = subprocess.run(words, cwd=place, env={**os.environ, **job.params}, check=False, stdout=subprocess.PIPE if _submits(job) else None)
    if done.returncode or not _submits(job):
        return done.returncode
    said = done.stdout.decode(errors="replace")
    say(said)
    found = re.search(r"\bjob_(\d+_\d+)\b", said)
    if found is None:
        say("The job was not taken.")
        return 1
    return follow(order["address"], f"application_{found[1]}")


def fetch(job: Job, keys: S3, place: Path) -> dict[str, Path]:
    """Bring the binaries here; answers url to path. Errors: S3Error, JobError."""
    folder = place / "files"
    folder.mkdir(exist_ok=True)
    out: dict[str, Path] = {}
    for url in dict.fromkeys([job.main, *job.libs]):
        if not url:
            continue
        split = urlsplit(url)
        if split.scheme in {"", "file", "local"}:
            out[url] = Path(split.path)
            if not out[url].is_file():
                raise JobError(f"{url} is not in the image")
            continue
        name = split.path.rsplit("/", 1)[-1]
        if not name or name in {".", ".."}:
            raise JobError(f"{url} names no file")
        out[url] = folder / name
        s3.get(keys, url, out[url])
    return out


def command(job: Job, files: dict[str, Path], place: Path, places: Places, spark: dict[str, str]) -> list[str]:
    """The words that run it. Errors: JobError where something is missing or of no known kind."""
    main = files.get(job.main)
    match job.type:
        case "Shell":
            if main is None:
                raise JobError("a shell job needs its script as main")
            return ["/bin/bash", str(main), *job.args]
        case "Spark":
            return _spark(job, files, place, places, spark)
        case "MapReduce.Streaming":
            return [*_java(job, files, place, places), "org.apache.hadoop.streaming.HadoopStreaming", *_streaming(job, files)]
        case "MapReduce" if _submits(job):
            wanted = dict(job.configs) | _classes(job, files)
            (place / "job.xml").write_text(xml(_site(places.conf / "mapred-site.xml") | wanted))
            return [*_java(job, files, place, places), "org.apache.hadoop.mapred.JobClient", "-submit", str(place / "job.xml")]
        case "Java" | "MapReduce":
            first = main or next((path for path in files.values() if path.suffix == ".jar"), None)
            name = job.main_class or (main_class(first) if first else "")
            if not name:
                raise JobError("neither the job nor its archive says which class is to run")
            ends = [one for one in (job.input, job.output) if one] if not job.args else []
            return [*_java(job, files, place, places), name, *job.args, *ends]
        case _:
            raise JobError(f"this image has nothing that runs jobs of the type {job.type}")


def _submits(job: Job) -> bool:
    """Whether the job is a description alone, which is handed in and then followed."""
    return job.type == "MapReduce" and not job.main and not job.main_class


def _classes(job: Job, files: dict[str, Path]) -> dict[str, str]:
    """Properties of a job that is made of a mapper and a reducer."""
    said = {
        "mapreduce.input.fileinputformat.inputdir": job.input,
        "mapreduce.output.fileoutputformat.outputdir": job.output,
        "mapred.mapper.class": job.mapper,
        "mapred.reducer.class": job.reducer,
        "mapreduce.job.jar": next((str(path) for path in files.values() if path.suffix == ".jar"), ""),
        "mapreduce.job.user.name": "hadoop",
    }
    return {key: value for key, value in said.items() if value}


def _streaming(job: Job, files: dict[str, Path]) -> list[str]:
    for name in ("mapper", "input", "output"):
        if not getattr(job, name):
            raise JobError(f"a streaming job needs {name}")
    words = ["-files", ",".join(str(path) for path in files.values())] if files else []
    words += ["-input", job.input, "-output", job.output, "-mapper", job.mapper]
    return [*words, *(["-reducer", job.reducer] if job.reducer else []), *job.args]


def _java(job: Job, files: dict[str, Path], place: Path, places: Places) -> list[str]:
    """Java with the client's options, the job's settings before the node's, and its archives last on the class path."""
    own = place / "conf"
    own.mkdir(exist_ok=True)
    (own / "mapred-site.xml").write_text(xml(_site(places.conf / "mapred-site.xml") | dict(job.configs)))
    more = [str(path) for path in files.values() if path.suffix == ".jar"]
    options = (places.share / "client.args").read_text()
    options = options.replace(":/etc/hadoop", ":".join(["", str(own), "/etc/hadoop", *more]), 1)
    (place / "java.args").write_text(options)
    return [JAVA, f"@{place}/java.args", "-Xmx384m", "-Dhadoop.root.logger=INFO,console"]


def _spark(job: Job, files: dict[str, Path], place: Path, places: Places, settings: dict[str, str]) -> list[str]:
    home = places.root / SPARK
    if not home.is_dir():
        raise JobError("this image has no Spark; use the image hadoop-spark")
    main = files.get(job.main)
    if main is None:
        raise JobError("a Spark job needs its program as main")
    own = dict(job.configs)
    mode = own.pop("deploy-mode", "cluster")
    words = [JAVA, f"@{places.share}/spark.args", "-Xmx512m", "org.apache.spark.deploy.SparkSubmit", "--master", "yarn", "--deploy-mode", mode]
    words += ["--class", job.main_class] if job.main_class else []
    jars = [str(path) for url, path in files.items() if url != job.main and path.suffix == ".jar"]
    words += ["--jars", ",".join(jars)] if jars else []
    pythons = [str(path) for url, path in files.items() if url != job.main and path.suffix in {".py", ".zip", ".egg"}]
    words += ["--py-files", ",".join(pythons)] if pythons else []
    for key, value in (settings | own).items():
        if key.startswith("spark."):
            words += ["--conf", f"{key}={value}"]
    ends = [one for one in (job.input, job.output) if one] if not job.args else []
    (place / "conf").mkdir(exist_ok=True)
    return [*words, str(main), *job.args, *ends]


def _site(path: Path) -> dict[str, str]:
    """The properties of a site; none where there is no such file."""
    if not path.exists():
        return {}
    rows = ET.parse(path).getroot().iter("property")  # noqa: S314 - a file of ours
    return {row.findtext("name", ""): row.findtext("value", "") for row in rows}


def main_class(jar: Path) -> str:
    """What the manifest of an archive names; empty where it names nothing. Errors: JobError where it is no archive."""
    try:
        with zipfile.ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode(errors="replace").replace("\r", "")
    except KeyError:
        return ""
    except zipfile.BadZipFile as error:
        raise JobError(f"{jar.name} is no archive: {error}") from error
    found = re.search(r"^Main-Class: *(\S+)", manifest.replace("\n ", ""), re.MULTILINE)
    return found[1] if found else ""


def follow(address: str, application: str, pause: float = 0.5) -> int:
    """Wait for the end of an application; answers the exit status."""
    say(f"Following {application}")
    while True:
        try:
            about: dict[str, Any] = ask(address, 8088, f"/ws/v1/cluster/apps/{application}?user.name=hadoop")["app"]
        except OSError:
            about = {}
        if about.get("state") in {"FINISHED", "FAILED", "KILLED"}:
            say(f"{application} {about['state']} {about.get('finalStatus')} {about.get('diagnostics', '')}")
            return 0 if about.get("finalStatus") == "SUCCEEDED" else 1
        time.sleep(pause)
