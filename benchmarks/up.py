"""`andromede up` on a prepared machine, until every endpoint answers.

    sudo python benchmarks/up.py [ROUNDS] [--fake]

There is no peer that does the same; the ratio is to the bare start of the Python interpreter, which says how busy the machine is.
`up` says that the cloud serves, and then waits for the first server to boot; the clock stops between the two.
"""

import os
import subprocess
import sys
import time

import lib

BAR = 3.0
PATHS = ("/identity/v3", "/compute/v2.1", "/image/v2/images", "/network/v2.0")


def answers(url: str) -> bool:
    """Whether each API answers; one that wants a token does so too by saying so."""
    for path in PATHS:
        try:
            lib.call(url + path)
        except lib.urllib.error.HTTPError as error:
            if error.code != 401:
                return False
    return True


def interpreter() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import json, ssl, asyncio"], check=True)
    return time.monotonic() - began


def second_up(made) -> float:
    """Seconds until all endpoints answer."""
    env = {**os.environ, "ANDROMEDE_PERSON": str(made.person), "COLUMNS": "200"}
    command = [sys.executable, "-m", "andromede.run.cli", "up", "--home", str(made.path)]
    began = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        said = any("The cloud serves" in line for line in process.stdout)
        lib.until(lambda: answers(made.url), 60, "the APIs do not answer")
        seconds = time.monotonic() - began
        process.stdout.read()
    if not said or process.returncode:
        raise SystemExit("up failed")
    return seconds


def main() -> None:
    rounds = next((int(word) for word in sys.argv[1:] if word.isdecimal()), 5)
    lib.isolate()
    with lib.cloud(lib.FAKE if "--fake" in sys.argv else "") as made:
        began = time.monotonic()
        made.cli("up")
        lib.say("first up, with image, networks and a first server", seconds=time.monotonic() - began)
        whole, bare = [], []
        for _ in range(rounds):
            made.cli("down", "--servers")
            bare.append(interpreter())
            whole.append(second_up(made))
        found = lib.middle(whole)
        lib.say(f"second up, median of {rounds}", seconds=found, least=min(whole), most=max(whole))
        lib.say("a bare interpreter", seconds=lib.middle(bare), ratio=found / lib.middle(bare))
        lib.verdict(f"second up within {BAR:.0f} s", holds=found <= BAR)


if __name__ == "__main__":
    main()
