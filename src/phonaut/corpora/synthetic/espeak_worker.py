"""The process in which espeak-ng speaks: requests in, sound and phoneme events out.

Run by `phonaut.corpora.synthetic.espeak`.

It is run as a file and imports the standard library and `espeakng_loader` alone. espeak-ng (GPL-3) is so kept out of
Phonaut's own process, and can neither crash it nor write into its memory.

Protocol. Input: one JSON object a line, the fields of `espeak.Request`. Output: first one JSON line, `{"sample_rate"}`;
then for each request, in order, one JSON line `{"n_samples", "events": [[sample, mnemonic], ...]}` and after it
`n_samples` signed 16-bit samples. In place of an answer there may be `{"error": reason}`, which is the last line.

espeak-ng carries state from one utterance to the next (flutter, phase of the voice, noise, echo). So each request is
spoken by a fork of the process as it was when the library was fresh: what is heard depends on the request alone.
"""

import array
import ctypes
import json
import os
import signal
import sys
from typing import Any

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: the samples come to a callback before espeak_Synth returns
PHONEME_EVENTS, DONT_EXIT = 0x0001, 0x8000  # options of espeak_Initialize
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
CHARS_UTF8 = 1
END_OF_EVENTS, PHONEME = 0, 7  # espeak_EVENT_TYPE
NO_ECHO = "\x011H "  # command inside the text: the echo of some voices down to 1/256 of their amplitude


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h; `sample` is exact where `audio_position` is in whole milliseconds."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_ubyte * 8),  # not c_char: reading that stops at a zero, but may lack one
    ]


class Failure(Exception):
    """A reason that a user is to read."""


SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


class Library:
    """libespeak-ng, initialised."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
        self.sample_rate = int(self._lib.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), PHONEME_EVENTS | DONT_EXIT))
        if self.sample_rate <= 0:
            raise Failure(f"espeak-ng did not start with its data in {data}")
        self._variants = os.listdir(os.path.join(data, "voices", "!v"))
        self._samples = bytearray()
        self._events: list[tuple[int, str]] = []
        self._callback = SynthCallback(self._hear)  # kept: ctypes does not
        self._lib.espeak_SetSynthCallback(self._callback)
        # The list of voices is read from disk by the first choice of one: once here, not in every fork.
        self._lib.espeak_SetVoiceByName(b"en-us")

    def _hear(self, samples: "ctypes._Pointer[ctypes.c_short]", n: int, events: "ctypes._Pointer[Event]") -> int:
        if samples and n > 0:
            self._samples += ctypes.string_at(samples, 2 * n)
        i = 0
        while events[i].type != END_OF_EVENTS:
            if events[i].type == PHONEME:
                name = bytes(events[i].name).split(b"\0")[0].decode("utf-8", "replace")
                self._events.append((events[i].sample, name))
            i += 1
        return 0

    def speak(self, request: dict[str, Any]) -> tuple[bytes, list[tuple[int, str]]]:
        """Samples and phoneme events of one request."""
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(request["seed"]))
        variant = request["voice"].partition("+")[2]  # where it is unknown, espeak-ng takes the plain voice in silence
        unknown = variant and variant not in self._variants
        if unknown or self._lib.espeak_SetVoiceByName(request["voice"].encode()) != 0:
            raise Failure(f"espeak-ng has no voice {request['voice']!r}")
        for parameter, key in ((RATE, "rate_wpm"), (PITCH, "pitch"), (RANGE, "pitch_range")):
            self._lib.espeak_SetParameter(parameter, request[key], 0)
        text = (NO_ECHO + request["text"]).encode() + b"\0"
        if self._lib.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, CHARS_UTF8, None, None) != 0:
            raise Failure(f"espeak-ng refused the text {request['text']!r}")
        return bytes(self._samples), self._events


def write(output: int, head: dict[str, Any], samples: bytes = b"") -> None:
    """One JSON line and what follows it."""
    data = memoryview(json.dumps(head).encode() + b"\n" + samples)
    while data:
        data = data[os.write(output, data) :]


def answer(library: Library, request: dict[str, Any], output: int) -> None:
    """Speak `request` in a fork, which writes the answer and ends.

    Raises:
        Failure: the fork did not end well.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            samples, events = library.speak(request)
            if sys.byteorder == "big":
                swapped = array.array("h", samples)
                swapped.byteswap()
                samples = swapped.tobytes()
            write(output, {"n_samples": len(samples) // 2, "events": events}, samples)
            status = 0
        except Failure as failure:
            write(output, {"error": str(failure)})
            status = 2
        finally:
            os._exit(status)  # no clean-up: files and the library belong to the parent
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        raise Failure(f"espeak-ng crashed ({signal.Signals(-code).name}) at {request}")
    if code == 1:
        raise Failure(f"espeak-ng could not speak {request}")
    if code == 2:
        sys.exit(1)


def main() -> None:
    """Answer the requests of standard input until it ends."""
    output = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints is no answer
    try:
        library = Library()
        write(output, {"sample_rate": library.sample_rate})
        for line in sys.stdin.buffer:
            answer(library, json.loads(line), output)
    except BrokenPipeError:
        sys.exit(1)
    except (Failure, ImportError, OSError, AttributeError, RuntimeError) as failure:
        write(output, {"error": str(failure)})
        sys.exit(1)


if __name__ == "__main__":
    main()
