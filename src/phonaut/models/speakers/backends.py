"""Back ends of embeddings: centring, LDA, WCCN, length normalisation, and PLDA with exact likelihood ratios."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from phonaut.arrays import Array, Index
from phonaut.densities.priors import positive_definite

BLOCK_CELLS = 2**22  # numbers of the pairs that are scored at once


def length_normalised(x: Array) -> Array:
    """`x / |x|` of vectors `(..., D)`; a zero vector stays."""
    norms = np.linalg.norm(x, axis=-1, keepdims=True)
    normalised: Array = x / np.where(norms > 0, norms, 1.0)
    return normalised


def class_sums(x: Array, classes: Index) -> tuple[Array, Array]:
    """Vectors of each class, `(C,)`, and their sums, `(C, D)`; classes are numbered from 0, each with one or more.

    Args:
        x: `(N, D)`.
        classes: `(N,)`.
    """
    order, counts = np.argsort(classes, kind="stable"), np.bincount(classes)
    return counts.astype(np.float64), np.add.reduceat(x[order], np.cumsum(counts) - counts, axis=0)


def scatters(x: Array, classes: Index) -> tuple[Array, Array]:
    """Covariances within classes and of their means, `(D, D)` each; their sum is that of all vectors.

    Raises:
        ValueError: no class has two vectors.
    """
    n, sums = class_sums(x, classes)
    if len(n) == len(x):
        raise ValueError(f"some class must have two vectors or more; got {len(x)} vectors of {len(n)} classes")
    means = sums / n[:, None]
    away, centred = x - means[classes], means - x.mean(axis=0)
    return away.T @ away / len(x), (n[:, None] * centred).T @ centred / len(x)


def shrunk(covariance: Array, shrinkage: float) -> Array:
    """`(1 - a) W + a tr(W) / D I`, positive definite for any a above 0."""
    d = len(covariance)
    return positive_definite((1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / d * np.eye(d))


def lda(x: Array, classes: Index, n_dimensions: int, shrinkage: float = 0.0) -> Array:
    """Directions that tell classes apart, `V (D, d)`: `x V` has the covariance I within classes (as far as it is not
    shrunk), and the greatest ones between them, in falling order.

    Args:
        x: `(N, D)`.
        classes: `(N,)`.
        n_dimensions: d, at most one less than there are classes.
        shrinkage: a of `shrunk`, for the covariance within classes.

    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems"; Fukunaga 1990, section 10.2.
    """
    within, between = scatters(x, classes)
    directions: Array = eigh(between, shrunk(within, shrinkage))[1][:, ::-1]
    return directions[:, : min(n_dimensions, int(classes.max()))]


def wccn(x: Array, classes: Index, shrinkage: float = 0.1) -> Array:
    """`B (D, D)` with `B B' = W^-1`: `x B` has the covariance I within classes.

    Source: Hatch, Kajarekar and Stolcke 2006, "Within-class covariance normalization for SVM-based speaker
    recognition".
    """
    factor: Array = np.linalg.cholesky(np.linalg.inv(shrunk(scatters(x, classes)[0], shrinkage)))
    return factor


def whitening(x: Array, shrinkage: float = 0.0) -> Array:
    """`B (D, D)`: `(x - mean) B` has the covariance I."""
    covariance = np.cov(x, rowvar=False, bias=True).reshape(x.shape[1], -1)
    factor: Array = np.linalg.cholesky(np.linalg.inv(shrunk(covariance, shrinkage)))
    return factor


@dataclass(frozen=True, eq=False)
class PLDA:
    """The two-covariance model: a vector of a class is `x = m + y + e`, `y ~ N(0, B)` of the class, `e ~ N(0, W)`.

    Source: Brummer and de Villiers 2010, "The speaker partitioning problem"; Ioffe 2006, "Probabilistic linear
    discriminant analysis".

    Attributes:
        mean: m, `(D,)`.
        between: B, `(D, D)`.
        within: W, `(D, D)`, positive definite.
    """

    mean: Array
    between: Array
    within: Array

    @cached_property
    def diagonal(self) -> tuple[Array, Array]:
        """`psi (D,)` and `V (D, D)` with V' W V = I and V' B V = diag(psi): the dimensions of `x V` are independent,
        however many vectors a class has."""
        psi, directions = eigh(self.between, self.within)
        return np.maximum(psi, 0.0), directions

    @classmethod
    def started(cls, x: Array, classes: Index, shrinkage: float = 0.1) -> PLDA:
        """What EM starts from: the covariances of classes' means and within classes, shrunk.

        Raises:
            ValueError: no class has two vectors.
        """
        within, between = scatters(x, classes)
        return cls(x.mean(axis=0), shrunk(between, shrinkage), shrunk(within, shrinkage))

    def em_step(self, x: Array, classes: Index) -> tuple[PLDA, float]:
        """One step of EM on vectors `x (N, D)` of `classes (N,)`, and their log-likelihood before it."""
        psi, directions = self.diagonal
        z = (x - self.mean) @ directions
        n, sums = class_sums(z, classes)
        ratio = psi / (1.0 + n[:, None] * psi)  # variances of y given its class, (C, D)
        means = ratio * sums
        inverse_root = np.linalg.slogdet(directions)[1]
        quadratic = np.square(z).sum() - (ratio * np.square(sums)).sum()
        determinant = np.log1p(n[:, None] * psi).sum() - 2 * len(z) * inverse_root
        likelihood = -0.5 * float(z.size * np.log(2 * np.pi) + determinant + quadratic)
        move = (z - means[classes]).mean(axis=0)
        away = z - means[classes] - move
        between = (means.T @ means + np.diag(ratio.sum(axis=0))) / len(n)
        within = (away.T @ away + np.diag((n[:, None] * ratio).sum(axis=0))) / len(z)
        back = np.linalg.inv(directions)  # x = z V^-1
        mean = self.mean + move @ back
        return PLDA(mean, back.T @ between @ back, positive_definite(back.T @ within @ back)), likelihood

    def references(self, sums: Array, n: Array) -> Array:
        """Features of models, whose product with those of `tests` is the log-likelihood ratio
        `log p(x_1 ... x_n, t | one class) - log p(x_1 ... x_n) - log p(t)`, exactly.

        In each of the independent dimensions, n vectors with the sum s have the log-density
        `g(n, s) = -1/2 log(1 + n psi) + 1/2 psi s^2 / (1 + n psi)` and what depends on no class, so that the ratio is
        `g(n + 1, s + t) - g(n, s) - g(1, t)`: a product of functions of (n, s) with (t, t^2, 1, g(1, t)).

        Args:
            sums: of the enrolled vectors of each of M models, `(M, D)`.
            n: how many they are, `(M,)`.
        """
        psi, directions = self.diagonal
        s, n = (sums - n[:, None] * self.mean) @ directions, n[:, None]
        after, before = psi / (1 + (n + 1) * psi), psi / (1 + n * psi)
        change = 0.5 * ((after - before) * np.square(s) + np.log1p(n * psi) - np.log1p((n + 1) * psi))
        return np.hstack([after * s, 0.5 * after, change.sum(axis=1, keepdims=True), np.ones((len(s), 1))])

    def tests(self, x: Array) -> Array:
        """Features of test vectors `(B, D)`, for `references`."""
        psi, directions = self.diagonal
        z = (x - self.mean) @ directions
        alone = 0.5 * (psi / (1 + psi) * np.square(z) - np.log1p(psi)).sum(axis=1, keepdims=True)
        return np.hstack([z, np.square(z), np.ones((len(z), 1)), -alone])

    def log_likelihood_ratios(self, sums: Array, n: Array, x: Array) -> Array:
        """Those of M models against B vectors, `(M, B)`, as one product."""
        ratios: Array = self.references(sums, n) @ self.tests(x).T
        return ratios


def products(
    left: Callable[[Index], NDArray[Any]], right: Callable[[Index], NDArray[Any]], n: int, width: int
) -> Array:
    """Inner products of n pairs of vectors, a block at a time.

    Args:
        left: from numbers of pairs `(M,)` to vectors `(M, width)`.
        right: likewise.
        n: pairs.
        width: of the vectors.
    """
    size = max(1, BLOCK_CELLS // max(width, 1))
    blocks = [np.arange(first, min(first + size, n)) for first in range(0, n, size)]
    return np.concatenate([np.empty(0), *(np.einsum("nd,nd->n", left(block), right(block)) for block in blocks)])
