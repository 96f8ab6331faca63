"""Samples of times, and tables of them in Markdown."""

import time


def timed(work, *arguments):
    """What `work` returns, and the milliseconds that it took."""
    before = time.monotonic_ns()
    result = work(*arguments)
    return result, (time.monotonic_ns() - before) / 1e6


def percentile(values, percent):
    """The nearest rank; there is no figure between two samples."""
    ordered = sorted(values)
    return ordered[int((len(ordered) - 1) * percent / 100 + 0.5)]


def median(values):
    return percentile(values, 50)


def spread(values):
    """The cells p50, p95 and min."""
    return [number(median(values)), number(percentile(values, 95)), number(min(values))]


def number(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def factor(slow, fast):
    """How many times faster the second is."""
    return f"{slow / fast:.1f}" if fast else "-"


def print_table(title, heads, rows):
    print(f"\n{title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)
