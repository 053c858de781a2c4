"""`andromede up` on a prepared machine, until every endpoint answers.

    sudo python benchmarks/up.py [ROUNDS] [--fake]

There is no peer that does the same; the ratio is to the bare start of the Python interpreter, which says how busy the machine is.
"""

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
            began = time.monotonic()
            made.cli("up")
            lib.until(lambda: answers(made.url), 60, "the APIs do not answer")
            whole.append(time.monotonic() - began)
        found = lib.middle(whole)
        lib.say(f"second up, median of {rounds}", seconds=found, least=min(whole), most=max(whole))
        lib.say("a bare interpreter", seconds=lib.middle(bare), ratio=found / lib.middle(bare))
        lib.verdict(f"second up within {BAR:.0f} s", holds=found <= BAR)


if __name__ == "__main__":
    main()
