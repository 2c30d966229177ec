"""Which nodes can work together, and the reasons given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kernel.membership.test_sync import member

from guthi.membership.compatibility import incompatibility


@pytest.mark.parametrize(
    ("mine", "theirs", "fit"),
    [
        ("1.4.0", "1.4.0", True),
        ("1.4.0", "1.9.2", True),
        ("1.4.0", "2.0.0", False),
        ("0.1.0", "0.1.7", True),
        ("0.1.0", "0.2.0", False),
        ("0.9.0", "1.0.0", False),
        ("0", "3.0", True),
        ("3", "3.1", True),
        ("main", "3.1", True),
        ("1.x", "2.x", True),
        ("", "1.0", True),
    ],
)
def test_versions_fit_or_do_not_whoever_asks(mine: str, theirs: str, fit: bool) -> None:
    one = replace(member(1), plugins=(("rpc", mine),))
    two = replace(member(2), plugins=(("rpc", theirs), ("web", "9.0")))
    assert (incompatibility(one, two) is None) is fit
    assert (incompatibility(two, one) is None) is fit


def test_the_reason_says_what_differs_and_what_to_do() -> None:
    one, two = replace(member(1), plugins=(("rpc", "1.0"),)), replace(member(2), plugins=(("rpc", "2.0"),))
    assert incompatibility(one, two) == (
        "it runs plugin rpc 2.0 and this node 1.0, which do not understand one another; "
        "install the same version on both (guthi plugins shows what is installed)"
    )
    assert incompatibility(member(1), replace(member(2), protocol=2)) == (
        "it speaks protocol 2 and this node 1; install the same version of guthi on both"
    )


def test_who_has_not_the_plugin_does_not_mind() -> None:
    assert incompatibility(member(1), replace(member(2), plugins=(("rpc", "2.0"),))) is None
