"""C99 of a program and its front end: files of a folder, with a plan of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from phonaut.deploy.c.arrays import ITEM, Numbers
from phonaut.deploy.c.layout import INPUT, Layout, layout_of
from phonaut.deploy.c.network_code import NetworkCode
from phonaut.deploy.fixed_front_end import WINDOW_BITS, FixedFrontEnd
from phonaut.deploy.fixed_point import REACH, log_table, twiddles
from phonaut.deploy.integer_program import Program
from phonaut.files import write_text

FILES = ("model.h", "model.c", "weights.h", "main.c", "Makefile")
TERMS = 12  # of the series of 2^-f


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        folder: of the files.
        streams: each hop is computed once; else the last frames again for each row of scores.
        n_frames: of a clip of the greatest length.
        window: hidden frames whose mean a row of scores is, in a stream.
        every: frames from one row of scores to the next.
        flash: bytes of weights and tables.
        ram: bytes of `phonaut_state`, by part.
        macs: multiply-accumulates of a clip, by layer.
        plan: lines for people.
    """

    folder: Path
    streams: bool
    n_frames: int
    window: int
    every: int
    flash: dict[str, int]
    ram: dict[str, int]
    macs: dict[str, int]
    plan: tuple[str, ...]


def write_c(
    folder: Path, program: Program, front_end: FixedFrontEnd, *, labels: list[str] | None = None, clip_s: float = 1.0,
    every_s: float = 0.1, title: str = "A keyword spotter",
) -> Written:  # fmt: skip
    """Write `model.h`, `model.c`, `weights.h`, `main.c` and a `Makefile`.

    A causal program behind a causal front end is written as a stream: each hop is computed once, and scores are of the
    last `clip_s`. Others keep the logarithms of the last `clip_s`, over which the network runs for each row of scores.

    Args:
        folder: made where it is not.
        program: of the network.
        front_end: in fixed point.
        labels: of the classes; None: the program's own, else their numbers.
        clip_s: seconds of a clip.
        every_s: from one row of scores to the next, where all is computed again.
        title: of the files.

    Raises:
        ValueError: front end and program do not fit, or sums would need more than 64 bits.
    """
    if any(one.kind == "recurrent" for one in program.operations):
        raise ValueError("the C of recurrent networks is not there: of networks of convolutions it is")
    if front_end.n_features != program.n_features:
        raise ValueError(f"the front end has {front_end.n_features} features, the program reads {program.n_features}")
    names = labels or program.about.get("labels") or [str(i) for i in range(program.n_classes)]
    if len(names) != program.n_classes:
        raise ValueError(f"{len(names)} labels for {program.n_classes} classes")
    if not clip_s * front_end.sample_rate >= front_end.layout.hop_length:
        raise ValueError(f"clip_s={clip_s:g}: must be at least one frame, {front_end.layout.hop_length} samples")
    clip = round(clip_s * front_end.sample_rate)
    streams = program.causal and front_end.causal and not front_end.needs_whole_recording
    n_frames = front_end.layout.n_frames(clip)
    hop_s = front_end.layout.hop_length / front_end.sample_rate
    layout = layout_of(program, streams=streams, n_frames=n_frames)
    window = max(1, round(clip_s / (hop_s * program.time_stride)))
    every = program.time_stride if streams else max(1, round(every_s / hop_s))
    code = NetworkCode(layout, window)
    code.write()
    settings, tables = front_end_code(front_end)
    flash = {
        "weights": code.bytes_of("w_"),
        "biases, multipliers, tables of the network": code.n_bytes - code.bytes_of("w_"),
        "tables of the front end": sum(one.n_bytes for one in tables),
    }
    ram = ram_of(layout, front_end, n_frames, window)
    macs = {name: round(n) for name, n in layout.macs.items() if n}
    about = Written(folder, streams, n_frames, window, every, flash, ram, macs, ())
    plan = plan_lines(about, layout, clip_s, hop_s)
    hidden = layout.values[layout.operations[-2].inputs[0]]
    rings = {name: k for k, name in enumerate(layout.ring_names)}
    item = ITEM[layout.base_type]
    scales = [float(one.numbers["scale"]) for one in program.exits]
    context = {
        "title": "".join(c for c in title if c.isalnum() or c in " .,-_:()"), "plan": plan, "fe": settings,
        "n_classes": program.n_classes, "clip": clip,
        "streams": streams, "every": every * front_end.layout.hop_length, "every_frames": every,
        "flash": sum(flash.values()), "ram": sum(ram.values()), "macs": sum(macs.values()),
        "score_type": layout.score_type, "scales": [f"{x:.8e}f" for x in scales],
        "rings": rings, "ring_items": layout.rings // item, "arena_items": layout.arena // item,
        "pooled": max(layout.pooled.values(), key=lambda one: one.item * one.size),
        "base_type": layout.base_type, "hidden": hidden, "window": window, "n_frames": n_frames, "shares": item == 1,
        "input": layout.values[INPUT], "input_pointer": code.pointer(layout.values[INPUT]), "period": layout.period,
        "kernels": list(code.kernels.values()), "steps": code.lines, "structs": code.structs,
        "arrays": code.arrays + tables, "labels": ", ".join(quoted(str(one)) for one in names),
        "most_taps": max([one.arrays["weight"].shape[3] for one in layout.operations if one.kind == "conv"]
                         + [one.numbers["size"] for one in layout.operations if one.kind == "mean_frames"] + [1]),
        "dots": list(code.dots.values()),
        "multiplier_type": code.multiplier_type, "frames_expression": frames_expression(front_end),
        "threshold": None if program.confidence is None or streams else math.floor(2**30 / program.confidence),
        "exp2_terms": ", ".join(f"{round((-math.log(2)) ** k / math.factorial(k) * 2**30)}LL" for k in range(TERMS)),
    }  # fmt: skip
    texts = {name: environment().get_template(f"{name}.jinja").render(context) for name in FILES}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return Written(folder, streams, n_frames, window, every, flash, ram, macs, tuple(plan))


def front_end_code(front_end: FixedFrontEnd) -> tuple[SimpleNamespace, list[Numbers]]:
    """Settings and tables of a front end."""
    fe, layout = front_end, front_end.layout
    first, bins, weights = [], [], []
    for column in fe.bands.T:
        used = np.flatnonzero(column)
        begin, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        first.append(begin)
        bins.append(end - begin)
        weights.append(column[begin:end])
    w_re, w_im = twiddles(layout.n_fft)
    circle = np.stack([np.append(w_re, -w_re[0]), np.append(w_im, -w_im[0])], axis=1)
    tables = [
        Numbers("fe_window", "int32_t", fe.window),
        Numbers("fe_twiddles", "int32_t", circle),
        Numbers("fe_log", "uint32_t", log_table()),
        Numbers("fe_band_first", "uint16_t", np.array(first)),
        Numbers("fe_band_bins", "uint16_t", np.array(bins)),
        Numbers("fe_band_weights", "uint16_t", np.concatenate(weights)),
        Numbers("fe_multiplier", "int32_t", fe.multiplier),
        Numbers("fe_offset", "int64_t", fe.offset),
    ]
    if not (fe.binary and fe.table is None):
        tables.append(Numbers("fe_shift", "uint8_t", fe.shift))
    if fe.dct is not None:
        tables.append(Numbers("fe_dct", "int16_t", fe.dct.T))
    if fe.table is not None:
        tables.append(Numbers("fe_table", "int16_t", fe.table))
    settings = SimpleNamespace(
        sample_rate=fe.sample_rate, hop=layout.hop_length, win=layout.win_length, n_fft=layout.n_fft,
        first_sample=layout.first_sample, pad_mode=layout.pad_mode if layout.mode == "center" else "constant",
        window_bits=WINDOW_BITS, sample_bits=fe.sample_bits, preemphasis=fe.preemphasis, removes_mean=fe.removes_mean,
        general=fe.removes_mean or fe.preemphasis > 0, n_bands=fe.n_bands, row_bits=fe.row_bits,
        row_type="int16_t" if fe.row_bits < 16 else "int32_t", log_offset=fe.log_offset, floor=fe.floor, top=fe.top,
        n_cepstra=fe.n_cepstra, n_features=fe.n_features, held=2 * REACH * fe.deltas + 1, has_dct=fe.dct is not None,
        dct_shift=fe.dct_shift, deltas=fe.deltas, causal=fe.causal, takes_gain=fe.takes_gain,
        has_table=fe.table is not None, binary=int(fe.binary),
    )  # fmt: skip
    return settings, tables


def frames_expression(front_end: FixedFrontEnd) -> str:
    """The number of frames of n samples, in C."""
    layout = front_end.layout
    beyond = (
        2 * (layout.n_fft // 2) - layout.n_fft if layout.mode == "center" else -layout.first_sample - layout.win_length
    )
    return f"((long)n + {beyond + layout.hop_length}) / PHONAUT_HOP".replace("+ -", "- ")


def ram_of(layout: Layout, front_end: FixedFrontEnd, n_frames: int, window: int) -> dict[str, int]:
    """Bytes of the parts of `phonaut_state`."""
    fe, win = front_end, front_end.layout.win_length
    row = fe.n_bands * (2 if fe.row_bits < 16 else 4)
    fft = 8 * (fe.layout.n_fft // 2 + 1)
    shares = layout.base_type == "uint8_t"
    parts = {
        "samples of a window": 2 * win,
        "logarithms": row * (1 if layout.streams else n_frames),
        "cepstra": 4 * (2 * REACH * fe.deltas + 1) * fe.n_cepstra,
    }
    if layout.streams:
        hidden = layout.values[layout.operations[-2].inputs[0]]
        parts["histories of layers"] = layout.rings
        parts["hidden frames of the window"] = window * hidden.size * hidden.item + 4 * hidden.size
    if shares:
        parts["transform, then activations"] = max(fft, layout.arena)
    else:
        parts["transform"], parts["activations"] = fft, layout.arena
    parts["means over time"] = max(one.item * one.size for one in layout.pooled.values())
    parts["scores and counters"] = (
        ITEM[layout.score_type] * layout.program.n_classes + 24 + 2 * max(1, len(layout.ring_names))
    )
    parts["alignment, at most"] = 24
    return parts


def plan_lines(about: Written, layout: Layout, clip_s: float, hop_s: float) -> list[str]:
    """The plan of memory and work."""
    flash, ram, macs = sum(about.flash.values()), sum(about.ram.values()), sum(about.macs.values())
    how = "a stream, each hop once" if about.streams else f"{about.n_frames} frames again for every row of scores"
    lines = [f"Runs as {how}; a row of scores every {1000 * about.every * hop_s:g} ms.", "", f"Flash {flash:,} bytes"]
    lines += [f"  {n:>9,}  {name}" for name, n in about.flash.items()]
    lines += [f"RAM {ram:,} bytes", *(f"  {n:>9,}  {name}" for name, n in about.ram.items())]
    lines.append(
        f"Activations {layout.arena:,} bytes at once" + (f", histories {layout.rings:,}" if about.streams else "")
    )
    lines.append(f"Multiply-accumulates of {clip_s:g} s: {macs:,}")
    return lines + [f"  {n:>9,}  {name}" for name, n in about.macs.items()]


def quoted(text: str) -> str:
    """A string of C, in UTF-8.

    >>> quoted("yes"), quoted('"?')
    ('"yes"', '"\\\\042\\\\077"')
    """
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return '"' + "".join(plain) + '"'


@cache
def environment() -> Environment:
    """Of the templates beside this file."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
