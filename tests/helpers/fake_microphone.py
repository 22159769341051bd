"""The module sounddevice without a sound card."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np


class Fake(ModuleType):
    """sounddevice, with a microphone that plays blocks from a thread of its own, then vanishes."""

    class PortAudioError(Exception):
        pass

    def __init__(self, blocks: list[np.ndarray], rate: int = 16000, *, there: bool = True, opens: bool = True) -> None:
        super().__init__("sounddevice")
        self.blocks, self.rate, self.there, self.opens = blocks, rate, there, opens

    def query_devices(self, kind: str) -> dict[str, Any]:
        if not self.there:
            raise self.PortAudioError("Error querying device -1")
        return {"default_samplerate": float(self.rate)}

    def InputStream(self, *, callback: Callable[..., None], samplerate: int, channels: int, **more: Any) -> Any:
        self.callback = callback
        assert (samplerate, channels, more["dtype"]) == (self.rate, 1, "float32")
        if not self.opens:
            raise self.PortAudioError("Device unavailable")

        class Stream:
            def __enter__(stream) -> None:
                thread = threading.Thread(target=self.play)
                thread.start()
                thread.join()

            def __exit__(stream, *error: Any) -> None:
                pass

        return Stream()

    def play(self) -> None:
        for block in self.blocks:
            self.callback(block[:, None], len(block), None, None)
