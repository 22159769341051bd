"""TIMIT's phones and how they are folded, and the speakers of its test sets.

The foldings are those of Lee and Hon, "Speaker-independent phone recognition using hidden Markov models" (IEEE
Transactions on Acoustics, Speech and Signal Processing 37, 1989): 61 labels to 48 classes that are trained, and these
to 39 that are told apart. The glottal stop `q` is no class in either; it is dropped wherever it stands.

The 24 speakers of the core test set are named in TIMIT's own documentation; the 50 of the development set, all of them
among the 168 of the complete test set, in Halberstadt's thesis (MIT, 1998) and in Kaldi's recipe.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _pairs(text: str) -> dict[str, str]:
    words = _names(text)
    return dict(zip(words[::2], words[1::2], strict=True))


DROPPED = "q"
# Label -> class of the 48; those that are not named stay as they are.
_TO_48 = _pairs("""
    ax-h ax  axr er  hv hh  ux uw  nx n  em m  eng ng
    pcl cl  tcl cl  kcl cl  bcl vcl  dcl vcl  gcl vcl  h# sil  pau sil
""")
# Class of the 48 -> class of the 39.
_TO_39 = _pairs("ao aa  ax ah  ix ih  el l  en n  zh sh  cl sil  vcl sil  epi sil")

PHONES = _names("""
    aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh hv ih ix iy jh k kcl l m
    n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh
""")
_48 = {phone: _TO_48.get(phone, phone) for phone in PHONES if phone != DROPPED}
# Phones of the set -> label -> class; what a set drops is not in it.
FOLDINGS: dict[int, dict[str, str]] = {
    61: {phone: phone for phone in PHONES},
    48: _48,
    39: {phone: _TO_39.get(folded, folded) for phone, folded in _48.items()},
}

CORE = frozenset(
    _names("""
        mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0
        mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0
    """)
)
DEVELOPMENT = frozenset(
    _names("""
        fadg0 faks0 fcal1 fcmh0 fdac1 fdms0 fdrw0 fedw0 fgjd0 fjem0 fjmg0 fjsj0 fkms0 fmah0 fmml0 fnmr0 frew0 fsem0
        majc0 mbdg0 mbns0 mbwm0 mcsh0 mdlf0 mdls0 mdvc0 mers0 mgjf0 mglb0 mgwt0 mjar0 mjfc0 mjsw0 mmdb1 mmdm2 mmjr0
        mmwh0 mpdf0 mrcs0 mreb0 mrjm4 mrjr0 mroa0 mrtk0 mrws1 mtaa0 mtdt0 mteb0 mthc0 mwjg0
    """)
)
