"""From utterances to batches: audio on disk, draws, spans, samplers, collation, augmentation.

Nothing is imported here: reading a prepared corpus needs numpy alone.
"""
