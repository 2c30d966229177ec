"""Any two quorums meet, whatever the number of nodes, and they are about as small as can be."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import sqrt

import pytest

from guthi_mutex.quorums import quorum_of

PLANES = {7: 2, 13: 3, 31: 5, 57: 7, 133: 11, 553: 23}


@pytest.mark.parametrize("count", [*range(1, 70), 100, 133, 134, 200])
def test_any_two_quorums_meet_and_each_has_its_owner(count: int) -> None:
    quorums = [set(quorum_of(rank, count)) for rank in range(count)]
    assert all(rank in quorum and quorum <= set(range(count)) for rank, quorum in enumerate(quorums))
    assert all(one & other for one, other in combinations(quorums, 2))


@pytest.mark.parametrize(("count", "order"), PLANES.items())
def test_a_plane_is_perfect(count: int, order: int) -> None:
    quorums = [quorum_of(rank, count) for rank in range(count)]
    assert {len(quorum) for quorum in quorums} == {order + 1}
    assert set(Counter(rank for quorum in quorums for rank in quorum).values()) == {order + 1}
    assert len(set(quorums)) == count


@pytest.mark.parametrize("count", range(2, 1001, 7))
def test_a_quorum_is_about_the_root_of_the_number_of_nodes(count: int) -> None:
    largest = max(len(quorum_of(rank, count)) for rank in range(count))
    assert largest <= 1.6 * sqrt(count) + 1


@pytest.mark.parametrize("count", [8, 40, 100, 200, 500])
def test_nobody_is_asked_by_many_more_than_others_are(count: int) -> None:
    asked = Counter(voter for rank in range(count) for voter in quorum_of(rank, count))
    assert len(asked) == count
    assert max(asked.values()) <= 2.5 * asked.total() / count
