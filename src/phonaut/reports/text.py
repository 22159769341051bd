"""Numbers as people read them: short, with their unit, and never rounded into something that they are not."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from phonaut.metrics import Estimate
from phonaut.names import some

NONE = "–"


def print_line(text: str | Text, console: Console) -> None:
    """Print a line whole, so that it can be searched and copied, with escapes for what the terminal cannot encode."""
    line = Text(text) if isinstance(text, str) else text
    line.plain = escaped(line.plain, console)
    console.print(line, soft_wrap=True, highlight=False)


def escaped(text: str, console: Console) -> str:
    """`text` with escapes for what the terminal cannot encode."""
    encoding = getattr(console.file, "encoding", None) or sys.getdefaultencoding()
    return text.encode(encoding, "backslashreplace").decode(encoding)


def percent(fraction: float) -> str:
    """A fraction in per cent, one decimal; more where one would turn an error into perfection.

    >>> percent(0.9933), percent(1.0), percent(0.99983)
    ('99.3 %', '100.0 %', '99.98 %')
    """
    if math.isnan(fraction):
        return NONE
    return f"{100 * fraction:.{decimals(fraction)}f} %"


def capital(text: str) -> str:
    """The first letter as a capital, the others as they are.

    >>> capital("log-spectral distance, dB"), capital("")
    ('Log-spectral distance, dB', '')
    """
    return text[:1].upper() + text[1:]


def probability(fraction: float) -> str:
    """A posterior probability in per cent, never quite 0, never quite 1.

    >>> probability(0.9412), probability(0.99999), probability(1e-7)
    ('94.1 %', '> 99.9 %', '< 0.1 %')
    """
    if fraction > 0.9995:
        return "> 99.9 %"
    return "< 0.1 %" if fraction < 0.0005 else f"{100 * fraction:.1f} %"


def decimals(fraction: float) -> int:
    """Number of decimals of a per cent so that `fraction` does not look like 0 or 1 when it is neither."""
    for digits in (1, 2, 3):
        if fraction in (0.0, 1.0) or 0.0 < round(100 * fraction, digits) < 100.0:
            return digits
    return 4


def value(number: float, format: str = "percent") -> str:
    """The value of a metric, in its format: `percent` or `number`.

    >>> value(0.9933), value(0.034567, "number")
    ('99.3 %', '0.03457')
    """
    if format == "percent":
        return percent(number)
    return NONE if math.isnan(number) else figure(number)


def interval(rate: Estimate, format: str = "percent") -> str:
    """The 95 % interval of an estimate, or that it has none.

    >>> interval(Estimate(0.9933, 0.9761, 0.9982, 300)), interval(Estimate(0.5, 0.45, 0.561, 9), "number")
    ('97.6 to 99.8 %', '0.45 to 0.561')
    """
    if rate.method.startswith("no interval"):
        return rate.method
    if format != "percent":
        return f"{figure(rate.low)} to {figure(rate.high)}" if rate.n else NONE
    return f"{100 * rate.low:.{decimals(rate.low)}f} to {percent(rate.high)}" if rate.n else NONE


def points(difference: float, format: str = "percent") -> str:
    """A difference with its sign: of two fractions in percentage points, of two numbers as it is.

    >>> points(0.0321), points(-0.004), points(0.0), points(0.0321, "number")
    ('+3.2', '-0.4', '0.0', '+0.0321')
    """
    if math.isnan(difference):
        return NONE
    text = f"{100 * difference:+.1f}" if format == "percent" else f"{difference:+.4g}"
    return text[1:] if float(text) == 0 else text


def probability_of_chance(p: float) -> str:
    """The p of a test.

    >>> probability_of_chance(0.0321), probability_of_chance(0.00004), probability_of_chance(1.0)
    ('0.032', '< 0.001', '1.000')
    """
    if math.isnan(p):
        return NONE
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def csv_line(values: Iterable[object]) -> str:
    """A line of CSV.

    >>> csv_line(["a", "b, c", 1])
    'a,"b, c",1'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def whole(number: float) -> str:
    """A count with commas.

    >>> whole(65204)
    '65,204'
    """
    return f"{number:,.0f}"


def things(number: float, noun: str) -> str:
    """A count of something, in the plural where there are several.

    >>> things(1, "clip"), things(1200, "clip")
    ('1 clip', '1,200 clips')
    """
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def short(number: float) -> str:
    """Three figures and a letter.

    >>> short(65204), short(1558000), short(812)
    ('65.2 k', '1.56 M', '812')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:  # 999,999 is 1 M
            return f"{number / size:.3g} {letter}"
    return f"{number:.0f}"


def bytes_(number: float) -> str:
    """A size in memory.

    >>> bytes_(25856)
    '25.2 KiB'
    """
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def seconds(number: float) -> str:
    """A time.

    >>> seconds(7.25), seconds(134), seconds(7320)
    ('7.2 s', '2 min 14 s', '2 h 2 min')
    """
    if number < 59.95:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def figure(number: float) -> str:
    """A measured number: four figures, in powers of ten where it is tiny.

    >>> figure(0.034567), figure(0.00000123), figure(0.0)
    ('0.03457', '1.23e-06', '0')
    """
    return f"{number:.4g}"


def trained_speakers(folder: Mapping[str, Any]) -> str:
    """The sentence on speakers of a scored folder whom the model was trained or validated on; empty: there are none."""
    known, n = folder.get("trained_speakers", []), folder.get("n_speakers", 0)
    if known is None:
        return "whether the model was trained on the same speakers is not known: its prepared corpus is gone"
    found = {"trained": known, "validated": folder.get("validation_speakers", [])}
    said = "; ".join(
        f"{len(names)} of {n} have the names of speakers whom the model was {how} on ({some(names, 10)})"
        for how, names in found.items()
        if names
    )
    return f"{said}: where these are the same people, the figures do not tell about new ones" if said else ""
