"""From what is on a user's disk to cuts in splits: one adapter per corpus, and their preparation."""

from phonaut.corpora.base import NOISE_SPLITS, SPLITS, Corpus, Item, Phone
from phonaut.corpora.folder import FolderCorpus
from phonaut.corpora.fsdd import FSDD
from phonaut.corpora.kws import KeywordCorpus
from phonaut.corpora.librispeech import LibriSpeech
from phonaut.corpora.mix import Mix, Part
from phonaut.corpora.speechocean import Speechocean762
from phonaut.corpora.synthetic import SyntheticCorpus
from phonaut.corpora.timit import TIMIT

__all__ = [
    "FSDD",
    "NOISE_SPLITS",
    "SPLITS",
    "TIMIT",
    "Corpus",
    "FolderCorpus",
    "Item",
    "KeywordCorpus",
    "LibriSpeech",
    "Mix",
    "Part",
    "Phone",
    "Speechocean762",
    "SyntheticCorpus",
]
