"""Corpora: adapters that list utterances, and protocols that divide them."""

from phonaut.corpora.base import Corpus
from phonaut.corpora.folder.corpus import FolderCorpus
from phonaut.corpora.fsdd import FSDD
from phonaut.corpora.kws.corpus import KeywordCorpus
from phonaut.corpora.kws.snips import HeySnips
from phonaut.corpora.librispeech import LibriSpeech
from phonaut.corpora.mix import Mix, Part
from phonaut.corpora.reddots import RedDots
from phonaut.corpora.speechocean762 import Speechocean762
from phonaut.corpora.synthetic.corpus import SyntheticCorpus
from phonaut.corpora.timit.corpus import TIMIT
from phonaut.corpora.vad.corpus import VoiceActivity
from phonaut.data.utterance import NOISE_SPLITS, SPLITS, Phone, Utterance

__all__ = [
    "FSDD",
    "NOISE_SPLITS",
    "SPLITS",
    "TIMIT",
    "Corpus",
    "FolderCorpus",
    "HeySnips",
    "KeywordCorpus",
    "LibriSpeech",
    "Mix",
    "Part",
    "Phone",
    "RedDots",
    "Speechocean762",
    "SyntheticCorpus",
    "Utterance",
    "VoiceActivity",
]
