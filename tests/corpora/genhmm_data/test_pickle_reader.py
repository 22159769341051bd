"""Pickles read as data: what NumPy and Python write comes back, whatever the protocol; whatever else is refused."""

import collections
import copyreg
import datetime
import fractions
import functools
import gzip
import operator
import os
import pickle
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonaut.corpora.genhmm_data import pickle_reader as pickles
from phonaut.corpora.genhmm_data import pickle_rules
from phonaut.corpora.genhmm_data.pickle_reader import read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
RNG = np.random.default_rng(0)
ARRAYS = [
    RNG.standard_normal((5, 3)),
    np.asfortranarray(RNG.standard_normal((4, 3)).astype(np.float32)),
    RNG.standard_normal((6, 4))[::2, 1:],
    np.arange(6, dtype=">i4").reshape(2, 3),
    np.arange(3, dtype="<u2"),
    np.array([True, False]),
    np.array(["aa", "grüße"]),
    np.array([b"a", b"bc"]),
    np.zeros((0, 40)),
    np.array(3.5),
    np.array([1 + 2j]),
    np.zeros((2, 3), np.float16),
]


def read(folder: Path, content: bytes, **options: Any) -> Any:
    path = folder / "a.pkl"
    path.write_bytes(content)
    return read_pickle(path, **options)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_every_kind_come_back(protocol: int, tmp_path: Path) -> None:
    for found, array in zip(read(tmp_path, pickle.dumps(ARRAYS, protocol)), ARRAYS, strict=True):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.integers() | st.text() | st.binary()
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(content=nested, protocol=st.sampled_from(PROTOCOLS))
def test_built_in_containers_come_back(content: Any, protocol: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("pickles")
    assert read(folder, pickle.dumps(content, protocol)) == content
    (folder / "b.gz").write_bytes(gzip.compress(pickle.dumps(content, protocol)))
    assert read_pickle(folder / "b.gz") == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_shared_is_shared_and_scalars_are_read(protocol: int, tmp_path: Path) -> None:
    array = np.arange(4.0)
    content = [array, array, np.float32(0.5), np.int64(7), np.str_("aa"), {np.int64(2): "b"}, bytearray(b"x"), 1 + 2j]
    found = read(tmp_path, pickle.dumps(content, protocol))
    assert found[0] is found[1]
    np.testing.assert_array_equal(found[0], array)
    assert found[2:6] == content[2:6]
    assert found[6:] == [b"x", 1 + 2j]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_list_of_arrays_that_numpy_made_an_array_of_objects_is_a_list(protocol: int, tmp_path: Path) -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((2, 3)), np.ones((4, 3))]
    found = read(tmp_path, pickle.dumps(ragged, protocol))
    assert [part.shape for part in found] == [(2, 3), (4, 3)]


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_names_of_old_and_new_numpy_are_known(core: str, tmp_path: Path) -> None:
    for protocol in (2, 3, 4, 5):
        content = pickle.dumps([np.arange(6.0).reshape(2, 3), np.float64(2)], protocol)
        if protocol == 2:
            content = content.replace(b"numpy._core.", core.encode() + b".")
        elif core == "numpy.core":
            content = (
                b"\x80\x02"
                + pickle.dumps([np.arange(6.0).reshape(2, 3), np.float64(2)], 2).replace(
                    b"numpy._core.", b"numpy.core."
                )[2:]
            )
        found = read(tmp_path, content)
        np.testing.assert_array_equal(found[0], np.arange(6.0).reshape(2, 3))
        assert found[1] == 2.0


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    raw = np.array([[1.0, 200.5]]).tobytes()
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nI2\ntcnumpy\ndtype\n"
        b"(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU" + bytes([len(raw)]) + raw + b"tb."
    )
    np.testing.assert_array_equal(read(tmp_path, content), [[1.0, 200.5]])


class Reduced:
    """Pickles as a call."""

    def __init__(self, call: Any, *arguments: Any, state: Any = None) -> None:
        self.call, self.arguments, self.state = call, arguments, state

    def __reduce__(self) -> Any:
        return (self.call, self.arguments) if self.state is None else (self.call, self.arguments, self.state)


class Plain:
    def __init__(self) -> None:
        self.x = 1


class WithState(Plain):
    def __setstate__(self, state: Any) -> None:
        raise AssertionError("it ran")


class OwnArray(np.ndarray):
    pass


HOSTILE = [
    (Reduced(os.system, "echo"), r"posix\.system|nt\.system"),
    (Reduced(eval, "1"), r"builtins\.eval"),
    (Reduced(exec, "1"), r"builtins\.exec"),
    (Reduced(getattr, "a", "upper"), r"builtins\.getattr"),
    (Reduced(__import__, "os"), r"builtins\.__import__"),
    (Reduced(open, "/etc/passwd"), r"io\.open|_io\.open|builtins\.open"),
    (Reduced(subprocess.Popen, "true"), r"(subprocess|commands)\.Popen"),
    (Reduced(np.load, "x.npy"), r"numpy\.load"),
    (Reduced(np.zeros, 10**12), r"numpy\.zeros"),
    (Reduced(np.fromfile, "x"), r"numpy.*fromfile"),
    (Reduced(pickle.loads, pickle.dumps(1)), r"_?pickle\.loads"),
    (Reduced(operator.attrgetter, "a"), r"operator\.attrgetter"),
    (Reduced(functools.partial, print), r"builtins\.print|functools\.partial"),
    (Reduced(copyreg._reconstructor, Plain, object, None), r"copyreg\._reconstructor"),
    (Reduced(bytearray, 10**12), "encode what is no bytes"),
    (Plain(), "Plain"),
    (WithState(), "WithState"),
    (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
    (collections.Counter("aab"), r"collections\.Counter"),
    (fractions.Fraction(1, 2), r"fractions\.Fraction"),
    (datetime.date(2020, 1, 1), r"datetime\.date"),
    (range(10**9), r"builtins\.(x?range)"),
    (np.zeros(3).view(OwnArray), "OwnArray"),
    (np.zeros(2, dtype=[("a", "f8")]), "arrays of type V8|named parts"),
    (np.zeros(2, dtype="M8[s]"), "arrays of type M8"),
    (np.ma.masked_array([1, 2], [0, 1]), r"numpy\.ma"),
    (np.array([[Plain()]], dtype=object), "Plain"),
    (np.array([[1, "a"]], dtype=object), "array of objects of shape"),
    (np.random.default_rng(0), r"numpy\.random"),
    (print, r"builtins\.print"),
    (Plain, "Plain"),
]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(("thing", "named"), HOSTILE, ids=lambda value: type(value).__name__)
def test_whatever_else_a_pickle_asks_for_is_refused_by_its_name(
    thing: Any, named: str, protocol: int, tmp_path: Path
) -> None:
    try:
        content = pickle.dumps([np.zeros((2, 2)), thing], protocol)
    except (TypeError, pickle.PicklingError):
        pytest.skip("this protocol cannot say it")
    if protocol < 3:
        named = named.replace("builtins", "(builtins|__builtin__)").replace("_io", "(_io|io|__builtin__)")
    with pytest.raises(ValueError, match=rf"a\.pkl is refused: .*({named}|copy_reg|copyreg)"):
        read(tmp_path, content)


def test_nothing_runs(tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    for protocol in PROTOCOLS:
        for attack in (Reduced(os.system, f"touch {flag}"), Reduced(exec, f"open({str(flag)!r}, 'w')")):
            with pytest.raises(ValueError, match="is refused"):
                read(tmp_path, pickle.dumps(attack, protocol))
    assert not flag.exists()


RAW = {
    "by INST": (b"(S'echo'\nios\nsystem\n.", "by INST of os.system"),
    "by OBJ": (b"(cos\nsystem\nS'echo'\no.", "os.system"),
    "by a dotted name": (b"\x80\x04\x8c\x08builtins\x8c\x0dbytes.fromhex\x93.", "builtins.bytes.fromhex"),
    "by a name with a blank": (b"cos system\nx\n.", "asks for os.system x|asks for os"),
    "by the registry of extensions": (b"\x80\x02\x82\x01.", "by EXT1"),
    "by a persistent id": (b"Pabc\n.", "by PERSID"),
    "by a persistent object": (b"N\x51.", "by BINPERSID"),
    "by NEWOBJ": (b"\x80\x02cnumpy\nndarray\n)\x81.", "by NEWOBJ of numpy.ndarray"),
    "by NEWOBJ_EX": (b"\x80\x04cnumpy\nndarray\n)}\x92.", "by NEWOBJ_EX of numpy.ndarray"),
    "a buffer from outside": (b"\x80\x05\x97.", "by NEXT_BUFFER"),
    "a call of the class": (b"cnumpy\nndarray\n(I1000000000000\ntR.", "asks to call numpy.ndarray"),
    "a call of what is no name": (b"]I1\n\x85R.", "asks to call a list"),
    "state of a name": (b"cnumpy\ndtype\n}S'x'\nI1\nsb.", "asks to change a Name"),
    "state of a list": (b"]}b.", "asks to change a list"),
    "keys of a list": (b"]I1\nI2\ns.", "asks to change a list"),
    "items of a name": (b"cnumpy\ndtype\nI1\na.", "asks to change a Name"),
    "a class of arrays of its own": (
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        "its own",
    ),
    "a nested key": (b"}()\x85I1\ns.", "a tuple as a key"),
    "a name that is no text": (b"\x80\x04]]\x93.", "a name that is no text"),
    "an odd encoding": (b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", "encode what is no bytes"),
    "no end": (b"\x80\x04]", "no whole pickle"),
    "nothing": (b"", "no whole pickle"),
    "no pickle": (b"\x00\x01\x02", "no whole pickle"),
    "an empty stack": (b"a.", "no whole pickle"),
    "a mark that is not there": (b"t.", "no whole pickle"),
    "a memo that is not there": (b"g7\n.", "no whole pickle"),
    "damaged gzip": (b"\x1f\x8b\x08\x00abcdefgh", "no whole pickle"),
    "cut off gzip": (gzip.compress(pickle.dumps(list(range(1000))))[:-20], "no whole pickle"),
}


@pytest.mark.parametrize("attack", RAW)
def test_what_no_honest_program_writes_is_refused(attack: str, tmp_path: Path) -> None:
    content, message = RAW[attack]
    with pytest.raises(ValueError, match=f"is refused: .*({message})"):
        read(tmp_path, content)


def array_claiming(shape: tuple[int, ...], raw: bytes, kind: str = "f8") -> bytes:
    honest = pickle.dumps(np.zeros((7, 11)), 2)
    text = honest.replace(b"K\x07K\x0b\x86", pickle.dumps(shape, 2)[2:-1].split(b"q")[0])
    assert text != honest
    return text


@pytest.mark.parametrize("shape", [(7, 12), (0, 0), (10**6, 10**6), (2**40, 2**40), (-7, -11)])
def test_an_array_that_claims_another_size_than_it_brings_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"claims .* bytes, and brings 616|whose shape is not of whole numbers"):
        read(tmp_path, array_claiming(shape, b""))


def peak_mb(folder: Path, content: bytes, **options: Any) -> float:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is refused"):
            read(folder, content, **options)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"abc.",  # BINBYTES8
        b"\x80\x04\x8e" + (2**31).to_bytes(8, "little") + b"abc.",
        b"\x80\x04\x8d" + (2**31).to_bytes(8, "little") + b"abc.",  # BINUNICODE8
        b"\x80\x05\x96" + (2**31).to_bytes(8, "little") + b"abc.",  # BYTEARRAY8
        b"\x80\x02\x8b" + (2**31 - 1).to_bytes(4, "little") + b"abc.",  # LONG4
        b"\x80\x02]r\xff\xff\xff\x7f" + b"(",  # LONG_BINPUT: a memo of two thousand million places
        gzip.compress(b"\x80\x04\x8e" + (2**28).to_bytes(8, "little") + bytes(2**28) + b"."),
        b"S'" + b"a" * 2**17 + b"'\n.",
    ],
    ids=["2^40 bytes", "2^31 bytes", "text", "bytearray", "a long number", "memo", "gzip bomb", "an endless line"],
)
def test_what_claims_much_takes_little_memory(content: bytes, tmp_path: Path) -> None:
    assert peak_mb(tmp_path, content) < 40


def test_no_more_is_unpacked_than_is_allowed(tmp_path: Path) -> None:
    content = pickle.dumps(RNG.standard_normal((1000, 100)))
    assert read(tmp_path, content, most_bytes=10**6).shape == (1000, 100)
    with pytest.raises(ValueError, match=r"it unpacks to, or claims, more than 0\.5 MB"):
        read(tmp_path, content, most_bytes=2**19)


def test_the_number_of_objects_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MOST_STEPS", 1000)
    with pytest.raises(ValueError, match="more than 1,000 steps"):
        read(tmp_path, b"(" + b"]" * 2000 + b"l.")
    monkeypatch.setattr(pickles, "MOST_KEYS", 10)
    monkeypatch.setattr(pickle_rules, "MOST_KEYS", 10)
    for content, message in (
        ({i: i for i in range(11)}, "dictionary of more than 10"),
        (set(range(11)), "change a set"),
    ):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, pickle.dumps(content, 4))


def test_what_is_nested_deeply_is_read_or_refused_and_kills_nothing(tmp_path: Path) -> None:
    read(tmp_path, b"(" + b"(" * 100_000 + b"t" * 100_001 + b".")
    with pytest.raises(ValueError, match="a tuple as a key"):
        read(tmp_path, b"}" + b"(" * 100_000 + b"t" * 100_000 + b"Ns.")


def test_one_array_can_be_looked_at_without_the_rest(tmp_path: Path) -> None:
    content = pickle.dumps([["key"], np.zeros((4, 3)), np.zeros((9, 9))], 4)
    found = read(tmp_path, content[:300], until=lambda thing: isinstance(thing, np.ndarray))
    assert found.shape == (4, 3)


def test_arrays_share_the_memory_of_their_bytes_and_are_read_only(tmp_path: Path) -> None:
    found = read(tmp_path, pickle.dumps(np.zeros((100, 100))))
    assert not found.flags.owndata
    assert not found.flags.writeable
