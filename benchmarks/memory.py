"""Memory of a cloud at rest: every process of ours and every daemon, without guests.

    sudo python benchmarks/memory.py [SECONDS]

RSS counts a shared page once for each process, PSS shares it out, so that the sum of PSS is what is resident together. The peer's figure is for one of its services alone: Keystone
under uWSGI with two processes (`tokens.py` prints it).
"""

import sys
import time

import lib

BAR = 350.0


def main() -> None:
    rest = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    lib.isolate()
    with lib.cloud("") as made:
        made.cli("up")
        made.cli("down", "--servers")
        made.cli("up")
        time.sleep(rest)
        whole = {name: lib.memory(pid) for name, pid in lib.processes(made).items()}
    for name, (rss, pss) in sorted(whole.items(), key=lambda pair: -pair[1][0]):
        lib.say(f"  {name}", rss_mib=rss, pss_mib=pss)
    rss, pss = (sum(one[at] for one in whole.values()) for at in (0, 1))
    lib.say("together, at rest", rss_mib=rss, pss_mib=pss, bar=BAR, ratio=pss / BAR)
    lib.verdict(f"{BAR:.0f} MB resident together", holds=pss * 1.048576 <= BAR)


if __name__ == "__main__":
    main()
