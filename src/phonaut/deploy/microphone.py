"""Sound of the computer's microphone, by sounddevice (PortAudio)."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.deploy.sound import Sound, resampled

BLOCK_S = 0.02  # of sound, from the microphone to the model
WAITING_S = 30.0  # of sound that a model which falls behind may leave waiting
VANISHED_S = 3.0  # without sound
INSTALL = "pip install 'phonaut[microphone]'"


def microphone_sound(sample_rate: int, tell: Callable[[str], None] = lambda text: None) -> Sound:
    """The samples of the system's usual microphone, without an end.

    Where the model is too slow for them, some are left out, with silence in their place, so that times stay right.

    Args:
        sample_rate: that is wanted, Hz; the microphone has its own.
        tell: called with a line where sound was lost.

    Raises:
        ValueError: sounddevice is not installed, or there is no microphone.
        OSError: it has vanished.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: there is no PortAudio
        raise ValueError(f"the microphone needs sounddevice ({INSTALL}) and PortAudio: {error}") from error
    try:
        rate = round(sounddevice.query_devices(kind="input")["default_samplerate"])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise ValueError(f"there is no microphone: {error}") from error
    try:
        yield from resampled(blocks(sounddevice, rate, tell), rate, sample_rate)
    except sounddevice.PortAudioError as error:
        raise OSError(f"the microphone cannot be heard: {error}") from error


def blocks(sounddevice: Any, rate: int, tell: Callable[[str], None]) -> Iterator[NDArray[np.float32]]:
    """Samples as the microphone gives them.

    Raises:
        OSError: it gives no more.
    """
    size = round(BLOCK_S * rate)
    waiting: queue.Queue[tuple[int, NDArray[np.float32]]] = queue.Queue(round(WAITING_S / BLOCK_S))
    n_lost = 0  # samples that found no place

    def heard(data: Any, n: int, times: Any, status: Any) -> None:
        nonlocal n_lost
        try:
            waiting.put_nowait((n_lost, np.array(data[:, 0], dtype=np.float32)))
            n_lost = 0
        except queue.Full:
            n_lost += n

    with sounddevice.InputStream(samplerate=rate, blocksize=size, channels=1, dtype="float32", callback=heard):
        while True:
            try:
                n_before, block = waiting.get(timeout=VANISHED_S)
            except queue.Empty:
                raise OSError(f"the microphone has vanished: no sound for {VANISHED_S:g} s") from None
            if n_before:
                tell(f"{n_before / rate:.1f} s of sound were lost: this computer is too slow for the model")
                yield np.zeros(n_before, np.float32)
            yield block
