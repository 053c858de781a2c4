"""The audit log's tree: the shapes of RFC 9162, proofs of everything, and what an altered export looks like to its verifier."""

import base64
import hashlib
import json
import random
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from andromede.services.audit import verifier
from andromede.services.audit.tree import HASH, WIDTH, Tree, folded
from andromede.services.audit.verifier import Checkpoint, Growing, check, consistent, inclusion_root, leaf_hash, node_hash

KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a key of tests").digest())
PUBLIC = KEY.public_key().public_bytes_raw()


def tiles(leaves: list[bytes]) -> Tree:
    rows = [leaves]
    while len(rows[-1]) >= WIDTH:
        below = rows[-1]
        rows.append([folded(b"".join(below[at : at + WIDTH])) for at in range(0, len(below) - len(below) % WIDTH, WIDTH)])
    return Tree(len(leaves), lambda level, index: b"".join(rows[level][index * WIDTH : (index + 1) * WIDTH]))


def plain(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return node_hash(plain(leaves[:middle]), plain(leaves[middle:]))


def test_the_hashes_are_those_of_the_standard():
    # the well-known vectors of certificate transparency
    data = [b"", b"\0", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", bytes(range(0x50, 0x58)), bytes(range(0x60, 0x70))]
    growing = Growing()
    assert growing.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for one in data:
        growing.add(leaf_hash(one))
    assert growing.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 513, 66_000])
def test_every_event_and_every_earlier_log_is_proved(size):
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    tree, growing, roots = tiles(leaves), Growing(), [b""]
    for leaf in leaves:
        growing.add(leaf)
        roots.append(growing.root())
    root = tree.root()
    assert root == growing.root() == plain(leaves)
    chance = random.Random(size)
    for index in {0, size - 1, *(chance.randrange(size) for _ in range(40))}:
        proof = tree.inclusion(index)
        assert inclusion_root(leaves[index], index, size, proof) == root
        assert inclusion_root(leaf_hash(b"another"), index, size, proof) != root
        if proof:
            with pytest.raises(ValueError, match="too short"):
                inclusion_root(leaves[index], index, size, proof[:-1])
            with pytest.raises(ValueError, match="too long"):
                inclusion_root(leaves[index], index, size, [*proof, root])
    for old in {1, size, *(chance.randrange(1, size + 1) for _ in range(40))}:
        proof = tree.consistency(old)
        assert consistent(old, size, roots[old], root, proof)
        assert not consistent(old, size, bytes(HASH), root, proof)
        assert old == size or not consistent(old, size, roots[old], bytes(HASH), proof)
        assert not consistent(old, size, roots[old], root, [*proof, root])
    with pytest.raises(ValueError, match="no such event"):
        inclusion_root(leaves[0], size, size, [])


def test_signatures_are_verified_without_a_library():
    chance = random.Random(5)
    for _ in range(6):
        message = chance.randbytes(chance.randrange(100))
        signature = KEY.sign(message)
        assert verifier.ed25519(PUBLIC, signature, message)
        for wrong in range(0, 64, 9):
            changed = bytearray(signature)
            changed[wrong] ^= 1 << chance.randrange(8)
            assert not verifier.ed25519(PUBLIC, bytes(changed), message)
        assert not verifier.ed25519(PUBLIC, signature, message + b"!")
    assert not verifier.ed25519(b"\xff" * 32, bytes(64), b"")
    # RFC 8032, 7.1, test 2
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verifier.ed25519(public, signature, b"\x72")


def export(count: int, every: int) -> list[dict]:
    """An export with a checkpoint after so many events."""
    growing, out = Growing(), []
    for number in range(count):
        document = json.dumps({"id": number, "outcome": "success"})
        growing.add(leaf_hash(document.encode()))
        out.append({"event": document, "hash": leaf_hash(document.encode()).hex()})
        if (number + 1) % every == 0:
            out.append({"checkpoint": verifier.signed(Checkpoint("cloud", growing.size, growing.root()), PUBLIC, KEY.sign)})
    return out


def lines(parts: list[dict]) -> list[str]:
    return [json.dumps(part) for part in parts]


def test_each_of_a_thousand_tamperings_is_found_and_where():
    """Every kind of tampering, at places drawn by chance; who tampers may write hashes anew, but has no key."""
    count, every = 60, 20
    whole = export(count, every)
    assert check(lines(whole), PUBLIC) == (count, [])
    kept = verifier.opened(whole[-1]["checkpoint"], PUBLIC)
    assert check(lines(whole), PUBLIC, [kept]) == (count, [])
    chance = random.Random(563620)
    places = [at for at, part in enumerate(whole) if "event" in part]
    for turn in range(1000):
        parts = [dict(part) for part in whole]
        number = chance.randrange(count - 1)
        at = places[number]
        kind = turn % 8
        if kind == 0:  # changed
            parts[at]["event"] = parts[at]["event"].replace("success", "failure")
        elif kind == 1:  # changed with its hash
            parts[at]["event"] = parts[at]["event"].replace("success", "failure")
            parts[at]["hash"] = leaf_hash(parts[at]["event"].encode()).hex()
        elif kind == 2:  # taken out
            del parts[at]
        elif kind == 3:  # put in
            parts.insert(at, {"event": "{}", "hash": leaf_hash(b"{}").hex()})
        elif kind == 4:  # in another order
            other = places[number + 1]
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 5:  # the end is missing, with its checkpoints
            del parts[at:]
        elif kind == 6:  # a checkpoint is of another history
            mark = chance.choice([one for one, part in enumerate(parts) if "checkpoint" in part])
            other = verifier.signed(Checkpoint("cloud", every, bytes(32)), PUBLIC, Ed25519PrivateKey.generate().sign)
            parts[mark]["checkpoint"] = other
            number = mark // (every + 1) * every
        else:  # one bit of a hash
            digest = bytearray.fromhex(parts[at]["hash"])
            digest[chance.randrange(32)] ^= 1 << chance.randrange(8)
            parts[at]["hash"] = digest.hex()
        _, found = check(lines(parts), PUBLIC, [kept])
        assert found, (kind, number)
        if kind in (0, 7):
            assert (number, number + 1) in {(one.first, one.end) for one in found}
        elif kind < 6:
            assert any(one.first <= number <= one.end for one in found), (kind, number, found)
        else:
            assert any(abs(one.first - number) <= every for one in found), (kind, number, found)


def test_two_histories_under_one_key_are_told_apart():
    whole, fork = export(40, 10), export(40, 10)
    fork[5] = {"event": "{}", "hash": leaf_hash(b"{}").hex()}
    known = [verifier.opened(part["checkpoint"], PUBLIC) for part in whole if "checkpoint" in part]
    growing, again = Growing(), []
    for part in fork:
        if "event" in part:
            growing.add(bytes.fromhex(part["hash"]))
            again.append(part)
        else:
            again.append({"checkpoint": verifier.signed(Checkpoint("cloud", growing.size, growing.root()), PUBLIC, KEY.sign)})
    assert check(lines(again), PUBLIC) == (40, [])
    assert len(check(lines(again), PUBLIC, known)[1]) == 4
    other = verifier.signed(Checkpoint("another", 40, growing.root()), PUBLIC, KEY.sign)
    assert "another log" in check(lines([*again, {"checkpoint": other}]), PUBLIC)[1][0].why


def test_the_verifier_is_a_program_by_itself(tmp_path):
    whole = export(20, 10)
    (tmp_path / "export").write_text("\n".join(lines(whole)) + "\n")
    (tmp_path / "kept").write_text(whole[-1]["checkpoint"])
    key = base64.b64encode(PUBLIC).decode()

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-I", verifier.__file__, str(tmp_path / "export"), "--key", key, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    assert run("--known", str(tmp_path / "kept")) == (0, "20 events, 0 faults\n")
    (tmp_path / "export").write_text("\n".join(lines(whole[:11])) + "\nnot a line\n")
    code, said = run("--known", str(tmp_path / "kept"))
    assert code == 1
    assert "line 12" in said
    assert "the log was cut" in said
    (tmp_path / "kept").write_text("nothing")
    assert run("--known", str(tmp_path / "kept")) == (2, "cannot be checked: This is not a checkpoint.\n")
