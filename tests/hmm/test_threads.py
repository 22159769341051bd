"""The number of threads changes no digit, and is the user's."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import zlib
import numba, torch
torch.set_num_threads(1)
import numpy as np
from phonaut.hmm import GenHMM, GaussianHMM
x = np.random.default_rng(0).standard_normal((500, 3))
for n_threads in (1, 2, 3):
    numba.set_num_threads(n_threads)
    for model in (GaussianHMM(4, random_state=0, n_iter=3), GenHMM(1, 2, random_state=0, n_iter=2, n_couplings=2)):
        model.fit(x, [20] * 25)
        bits = b"".join(np.ascontiguousarray(value).tobytes() for value in model.state_dict().values())
        bits += model.predict_proba(x, [20] * 25).tobytes()
        print(zlib.crc32(bits), model.score(x, [20] * 25), end=" ")
    print(numba.get_num_threads())
assert torch.get_num_threads() == 1, "the first parallel loop of Numba undid torch.set_num_threads"
"""
NUMBAS = "import phonaut.hmm.numba_engine, numba; print(numba.get_num_threads())"


@pytest.mark.slow
def test_the_number_of_threads_changes_no_digit() -> None:
    ran = subprocess.run(  # all in one process, since code that was just compiled rounds otherwise
        [sys.executable, "-c", PROGRAM], env={**os.environ, "NUMBA_NUM_THREADS": "3", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers = [line.split() for line in ran.stdout.splitlines()]
    assert [answer.pop() for answer in answers] == ["1", "2", "3"]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 4


def test_numba_takes_the_number_of_threads_that_openmp_is_given() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_NUM_THREADS"}
    ran = subprocess.run([sys.executable, "-c", NUMBAS], env=environment | {"OMP_NUM_THREADS": "1"},
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert ran.stdout == "1\n"
