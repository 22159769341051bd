"""Which words are spoken as negatives: near ones of the dictionary, that are near as espeak-ng says them too."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from itertools import product

from phonaut.corpora.arpabet import SILENCE, align
from phonaut.corpora.negatives.near_words import Phones, Sounds, alike, halves, most_edits, near_words, replaced
from phonaut.corpora.synthetic.espeak import Request, speak
from phonaut.corpora.synthetic.voices import ACCENTS
from phonaut.data.dictionary import dictionary
from phonaut.files import cache_dir, read_json, write_json

SPEAKABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9' -]*")
PLAIN = re.compile("[A-Z]{2,}")  # of the dictionary: no initials, no inflections with an apostrophe
VERSION = 1  # of the choice: part of its name in the cache
SPARE = 2  # so many candidates are said for each that is wanted
MOST_WAYS = 8  # to say a phrase


def text_of(name: str) -> str:
    """What is said for a class: `turn_on` is two words.

    Raises:
        ValueError: it cannot be said in English.
    """
    text = " ".join(name.replace("_", " ").replace("-", " ").split()).lower()
    if not SPEAKABLE.fullmatch(text):
        raise ValueError(f"negatives.near says words in English, and {name!r} is none: letters a to z, digits, ' and -")
    return text


def chosen(names: Sequence[str], n: int) -> dict[str, list[str]]:
    """As `choose` chooses, once; it is kept in the cache."""
    key = hashlib.sha256(json.dumps([VERSION, list(names), n]).encode()).hexdigest()[:16]
    path = cache_dir() / "near_words" / f"{key}.json"
    kept: dict[str, list[str]] = read_json(path, {})
    if not kept:
        kept = choose(names, n)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, kept)
    return kept


def choose(names: Sequence[str], n: int) -> dict[str, list[str]]:
    """What is to be said for each class: `n` near words or phrases, and the halves of a phrase.

    The phones of a class are those of the dictionary and those that espeak-ng says for it in both accents. No candidate
    is taken that espeak-ng would say, in one of them, like a class or with a class in it, or far from it.

    Args:
        names: of the classes.
        n: near words for each; fewer where there are fewer.

    Returns:
        Texts for each class; none is there twice.

    Raises:
        EspeakError: espeak-ng is missing or failed.
        ValueError: pocketsphinx, which has the dictionary, is missing, or a class cannot be said in English.
    """
    known = dictionary()
    if known is None:
        raise ValueError("negatives.near needs the dictionary of pocketsphinx: pip install 'phonaut[align]'")
    texts = {name: text_of(name) for name in names}
    said = {word: ways for word, ways in known.items() if PLAIN.fullmatch(word)}
    own = spoken(list(texts.values()))
    if dumb := [name for name, text in texts.items() if not own[text]]:
        raise ValueError(f"negatives.near: espeak-ng cannot say {', '.join(dumb)} in English")
    wanted = {text: {*own[text], *ways_of(text, known)} for text in texts.values()}
    parts = {word for text in wanted if " " in text for word in text.split()}
    single = {text: ways for text, ways in wanted.items() if " " not in text}
    near = {text: list(map(str.lower, words)) for text, words in near_words(single, said).items()}
    of_parts = near_words({word: set(ways_of(word, known)) for word in parts}, said)
    of_parts = {word: list(map(str.lower, words)) for word, words in of_parts.items()}
    candidates = {
        text: (replaced(text, of_parts) if " " in text else near[text])[: SPARE * n + SPARE] for text in wanted
    }
    whole = {text: halves(text) for text in wanted}
    heard = spoken([one for text in wanted for one in (*whole[text], *candidates[text])])
    used = {one for one in heard if not heard[one] or is_wanted(heard[one], wanted.values())}
    used |= {one for text in single for one in candidates[text] if not is_near(heard[one], wanted[text])}
    found: dict[str, list[str]] = {}
    for name, text in texts.items():
        free = [one for one in dict.fromkeys((*whole[text], *candidates[text])) if one not in used]
        mine = [one for one in free if one in whole[text]]
        mine += [one for one in free if one not in mine][:n]
        used.update(mine)
        found[name] = mine
    return found


def ways_of(text: str, known: dict[str, list[Phones]]) -> list[Phones]:
    """The ways to say a text, by the dictionary; none where it lacks a word."""
    ways = [known.get(word.upper(), []) for word in text.split()]
    return [tuple(phone for part in way for phone in part) for way in list(product(*ways))[:MOST_WAYS]]


def is_wanted(ways: Collection[Phones], wanted: Collection[Collection[Phones]]) -> bool:
    """Whether what is said sounds like something wanted, or has it in it."""
    sounds = Sounds([alike(phones) for phones in ways])
    return any(bool(sounds.hold(alike(phones)).any()) for of_one in wanted for phones in of_one)


def is_near(ways: Collection[Phones], wanted: Collection[Phones]) -> bool:
    """Whether one way to say something is near to one of what is wanted."""
    sounds = Sounds(list(ways))
    return any(int(sounds.edits(phones).min(initial=99)) <= most_edits(phones) for phones in wanted)


def spoken(texts: Sequence[str]) -> dict[str, set[Phones]]:
    """The phones that espeak-ng says for each text, in each accent; none where one of them is none of English."""
    asked = [(text, accent) for text in dict.fromkeys(texts) for accent in ACCENTS]
    requests = [Request(text, ACCENTS[accent]) for text, accent in asked]
    found: dict[str, set[Phones]] = {text: set() for text, _ in asked}
    strange = set()
    for (text, accent), speech in zip(asked, speak(requests), strict=True):
        try:
            found[text].add(tuple(span.label for span in align(speech, accent) if span.label != SILENCE))
        except ValueError:
            strange.add(text)
    return found | {text: set() for text in strange}
