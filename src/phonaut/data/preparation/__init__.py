"""Decode, resample and store a corpus once: from utterances on disk to what training reads."""
