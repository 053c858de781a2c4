"""Swift itself and our own, started once for all the tests that compare them."""

import warnings

import pytest

from andromede.drivers.blob.fake import Fake
from andromede.http.plain import serve
from andromede.services.object.service import Objects
from andromede.services.object.swift import Settings, Swift
from tests.conformance import oracle
from tests.conformance.swift_pair import TOKENS, Both, People, Side
from tests.objects import served


@pytest.fixture(scope="session")
def sides():
    try:
        with oracle.running(TOKENS) as theirs:
            settings = Settings(digests=("sha1", "sha256", "sha512"))
            with served(lambda: serve(Swift(Objects(Fake(classes=("Policy-0",))), People(), settings), "swift")) as ours:
                yield Side(ours, upstream=False), Side(theirs, upstream=True)
    except oracle.Absent as why:
        warnings.warn(f"Swift is not there to be compared with: {why}", stacklevel=1)
        pytest.skip(f"LEFT OUT: {why}")


@pytest.fixture
def both(sides):
    return Both(*sides)
