"""Decides whom a node of Maekawa's algorithm asks: about √N nodes, so that any two nodes ask one in common.

Theory: M. Maekawa, "A √N algorithm for mutual exclusion in decentralized systems", ACM Transactions on Computer Systems
3(2), 1985: the best quorums are the lines of a finite projective plane. The plane of prime order q has q² + q + 1
points, as many lines, q + 1 points on a line, and any two lines meet in one point. In coordinates modulo q:

    points: (x, y), a slope m for each direction, and one point at infinity more
    lines:  y = mx + b with its slope m;  x = c with the point at infinity;  all slopes with the point at infinity

Each node has a line of its own that goes through its own point, so that it need not send itself a message: (x, y) has
the line of slope x through it, which is y = x·t + (y - x²). Only x = c would be left over; it takes the point (c, c²),
whose former line y = c·t goes to the slope c. So every line has one owner.

N is seldom q² + q + 1. Then the plane of the least q with enough points is folded: point p is the member of rank
p mod N. Lines that met in p now meet in its member, and none gets longer. (Maekawa's degenerate planes.)
"""

from __future__ import annotations

__all__ = ["quorum_of"]


def quorum_of(rank: int, count: int) -> tuple[int, ...]:
    """The ranks below `count`, sorted, that the node of this rank asks: itself, and some that others ask too.

    There are at most q + 1 of them, q being the least prime with q² + q + 1 >= `count`.
    """
    order = _order(count)
    return tuple(sorted({point % count for point in _line_through(rank, order)}))


def _order(count: int) -> int:
    order = 2
    while order * order + order + 1 < count or not _is_prime(order):
        order += 1
    return order


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _line_through(point: int, order: int) -> list[int]:
    """The points of the line that the point owns; they count as (x, y) -> qx + y, slopes from q², infinity last."""
    square = order * order
    infinity = square + order
    slopes = list(range(square, infinity))
    if point == infinity:
        return [*slopes, infinity]
    if point >= square:
        slope = point - square
        return [*_affine(slope, 0, order), point]
    x, y = divmod(point, order)
    shift = (y - x * x) % order
    if shift == 0:
        return [*range(x * order, (x + 1) * order), infinity]
    return [*_affine(x, shift, order), slopes[x]]


def _affine(slope: int, shift: int, order: int) -> list[int]:
    return [x * order + (slope * x + shift) % order for x in range(order)]
