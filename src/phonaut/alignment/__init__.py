"""Phone alignments of transcribed recordings: by pocketsphinx, and by phone models trained on the recordings."""

from phonaut.alignment.utterances import Aligned, Utterance

__all__ = ["Aligned", "Utterance"]
