"""What many values say: the median, and an interval that holds the true one in 95 of 100 cases whatever the distribution, by
the sign test. tools/statistics.c has the same. Imported by everybody, knows nobody."""
import math

# An A/A pair whose interval is wider than this (its upper end divided by its lower one) makes a case's ratios worthless.
TOO_WIDE = 1.5


def interval_cut(n):
    """How many values may be left off at either end: the largest k for which fewer than k of n fair coins fall heads with a
    chance of at most 2.5 %. 0: n is too small for any."""
    chance, k = 0.0, 0
    while k < n // 2:
        chance += math.comb(n, k) / 2 ** n
        if chance > 0.025:
            break
        k += 1
    return k


def estimate(values):
    """Least, median, most, and low and high of the 95 % interval; of fewer than six values that is all of them."""
    values = sorted(values)
    n = len(values)
    if not n:
        return None
    cut = interval_cut(n)
    return {
        'n': n,
        'least': values[0],
        'most': values[-1],
        'median': (values[(n - 1) // 2] + values[n // 2]) / 2,
        'low': values[cut - 1 if cut else 0],
        'high': values[n - cut if cut else n - 1],
    }


def ratios(above, below):
    """Pair by pair; a pair of which one is missing, or whose divisor is nothing, is none."""
    return [a / b for a, b in zip(above, below) if a is not None and b is not None and b > 0]


def verdict(e, at_least=None, at_most=None):
    """'holds' when the interval excludes worse than the goal, 'misses' when it excludes the goal, else 'undecided'. Fewer than
    six values exclude nothing."""
    if e is None or e['n'] < 6:
        return 'undecided'
    if at_least is not None:
        return 'holds' if e['low'] >= at_least else 'misses' if e['high'] < at_least else 'undecided'
    return 'holds' if e['high'] <= at_most else 'misses' if e['low'] > at_most else 'undecided'


def too_wide(e):
    """Of the A/A pair's ratio."""
    return e is not None and (e['low'] <= 0 or e['high'] / e['low'] > TOO_WIDE)
