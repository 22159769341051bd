"""A corpus divided by a protocol, from the options of both."""

from __future__ import annotations

from typing import Any

from phonaut.corpora import Corpus, protocols
from phonaut.corpora.protocols import Divided, Protocol

PROTOCOLS: dict[str, type[Protocol]] = {
    cls.name: cls
    for cls in vars(protocols).values()
    if isinstance(cls, type) and issubclass(cls, Protocol) and cls is not Protocol
}
DEFAULTS = {"fsdd": "official", "timit": "official", "synthetic": "official", "mix": "unlabelled"}


def divided(corpus: type[Corpus], *, protocol: str | None = None, **options: Any) -> Divided:
    """A corpus with its default protocol, as its configuration file chooses it, or with another one."""
    cls = PROTOCOLS[protocol or DEFAULTS.get(corpus.name, "auto")]
    mine = {key: value for key, value in options.items() if key in cls.__dataclass_fields__}
    return cls(**mine).divide(corpus(**{key: value for key, value in options.items() if key not in mine}))
