"""What is asked of a guest's agent, against an agent of our own that answers as it is told."""

import asyncio
import json

import pytest

from andromede.drivers.hypervisor.qemu import guest_agent


async def rest(folder, answers, monkeypatch):
    """Whether the guest was at rest while the block ran, and what the agent was asked."""
    asked = []
    monkeypatch.setattr(guest_agent, "_HELLO", 0.3)
    monkeypatch.setattr(guest_agent, "_FREEZE", 0.3)

    async def talk(reader, writer):
        while line := await reader.readline():
            request = json.loads(line)
            asked.append(request["execute"])
            answer = answers.get(request["execute"])
            if answer == "echo":
                answer = {"return": request["arguments"]["id"]}
            if answer is not None:
                writer.write(b"\xff" + (answer if isinstance(answer, bytes) else json.dumps(answer).encode()) + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(talk, str(folder / "agent.sock"))
    async with server, guest_agent.at_rest(folder / "agent.sock") as frozen:
        during = list(asked)
    return frozen, during, asked


@pytest.mark.parametrize(
    ("answers", "frozen", "asked"),
    [
        (
            {"guest-sync": "echo", "guest-fsfreeze-freeze": {"return": 2}, "guest-fsfreeze-thaw": {"return": 2}}, True,
            ["guest-sync", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"],
        ),
        ({"guest-sync": "echo", "guest-fsfreeze-freeze": {"error": {"class": "GenericError"}}}, False, ["guest-sync", "guest-fsfreeze-freeze"]),
        ({"guest-sync": {"return": -1}}, False, ["guest-sync"]),
        ({"guest-sync": b"not json"}, False, ["guest-sync"]),
        ({}, False, ["guest-sync"]),
        ({"guest-sync": "echo"}, False, ["guest-sync", "guest-fsfreeze-freeze"]),
    ],
)  # fmt: skip
def test_a_guest_is_at_rest_only_where_its_agent_says_so(tmp_path, monkeypatch, answers, frozen, asked):
    was, during, all_asked = asyncio.run(rest(tmp_path, answers, monkeypatch))
    assert was is frozen
    assert all_asked == asked
    assert "guest-fsfreeze-thaw" not in during


def test_no_agent_is_no_rest(tmp_path):
    async def look():
        async with guest_agent.at_rest(tmp_path / "agent.sock") as frozen:
            return frozen

    assert asyncio.run(look()) is False
