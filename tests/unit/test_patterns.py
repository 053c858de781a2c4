"""Regular expressions of callers: the usual ones pass, those that a process could hang in do not."""

import re
import time

import pytest

from andromede.core.errors import BadRequest
from andromede.http.patterns import quick

USUAL = ["^web-[0-9]+$", r"^.*\-instance\-[0-9]+$", "a|b", "(a|b)c", "[*+(){}]+", r"\(\d+\)", "10.0.0.[12]$", "[]a]b", "x?y?"]


@pytest.mark.parametrize("pattern", USUAL)
def test_usual_patterns_pass(pattern):
    assert quick(pattern, "name") == pattern


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|a)*", "(?:a+)+", "a*a*a*b", "(a){99}", r"(a)\1", "(?=a)", "x" * 256])
def test_slow_patterns_are_refused_by_name(pattern):
    with pytest.raises(BadRequest, match="parameter name"):
        quick(pattern, "name")


def test_what_is_no_pattern_is_the_callers_matter():
    with pytest.raises(re.error):
        quick("(", "name")


def test_the_slowest_that_passes_is_quick():
    began = time.monotonic()
    assert re.search(quick("a*a*b", "name"), "a" * 255) is None
    assert time.monotonic() - began < 2
