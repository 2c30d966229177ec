"""How surprising a silence is, given how answers have come so far: the phi of Hayashibara and others.

phi = -log10(the probability that an answer comes later than this), so at phi 3 one in a thousand healthy silences
would be as long. The time between answers is taken as normally distributed with the mean and deviation of a window;
`pause_s` is added to the mean for hiccups that the window has not seen, and the deviation has a floor, for a very even
stream would else make every small delay a surprise. Of the normal distribution the logistic approximation is used, as
in Akka (error below 0.00014), because it can be turned round: so the moment of a given phi is computed, not polled for.

Hayashibara, Défago, Yared and Katayama: The φ Accrual Failure Detector. SRDS 2004.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Arrivals"]

_LINEAR, _CUBIC = 1.5976, 0.070566  # P(later by y deviations) = 1 / (1 + exp(y * (_LINEAR + _CUBIC * y²)))


class Arrivals:
    """The last `window` times between answers of one peer, in seconds.

    Until there are real ones it holds a guess, `first_s` more or less a quarter, as Akka does.
    """

    def __init__(self, window: int, first_s: float, pause_s: float, least_deviation_s: float) -> None:
        self._gaps_s: deque[float] = deque((0.75 * first_s, 1.25 * first_s), maxlen=window)
        self._sum = math.fsum(self._gaps_s)
        self._sum_of_squares = math.fsum(gap * gap for gap in self._gaps_s)
        self._pause_s, self._least_deviation_s = pause_s, least_deviation_s

    def add(self, gap_s: float) -> None:
        """One more."""
        if len(self._gaps_s) == self._gaps_s.maxlen:
            oldest = self._gaps_s[0]
            self._sum -= oldest
            self._sum_of_squares -= oldest * oldest
        self._gaps_s.append(gap_s)
        self._sum += gap_s
        self._sum_of_squares += gap_s * gap_s

    @property
    def mean_s(self) -> float:
        """Of the window."""
        return self._sum / len(self._gaps_s)

    @property
    def deviation_s(self) -> float:
        """The standard deviation of the window, at least the floor."""
        variance = self._sum_of_squares / len(self._gaps_s) - self.mean_s**2
        return max(math.sqrt(max(variance, 0.0)), self._least_deviation_s)

    def phi(self, silence_s: float) -> float:
        """How surprising it is that nothing has come for so long."""
        deviations = (silence_s - self.mean_s - self._pause_s) / self.deviation_s
        exponent = deviations * (_LINEAR + _CUBIC * deviations * deviations)
        if exponent > 700:  # exp overflows; the 1 beside it has long stopped to count
            return exponent / math.log(10)
        return math.log10(1 + math.exp(exponent))

    def silence_s(self, phi: float) -> float:
        """After how long a silence phi is reached: the one real root of the cubic, by hyperbolic functions."""
        exponent = phi * math.log(10) + math.log1p(-(10**-phi))  # ln(10**phi - 1), also where 10**phi is huge
        p, q = _LINEAR / _CUBIC, exponent / _CUBIC
        root = 2 * math.sqrt(p / 3) * math.sinh(math.asinh(3 * q / (2 * p) * math.sqrt(3 / p)) / 3)
        return self.mean_s + self._pause_s + root * self.deviation_s
