"""LatHMM: a generator for each state, and a mixture in its latent."""

from phonaut.hmm.flows import FlowHMM


class LatHMM(FlowHMM):
    """State s emits through one generator, from a mixture of K diagonal Gaussians in its latent.

    `p(x | s) = sum_k w_sk N(f_s(x); mu_sk, diag sigma_sk^2) |d f_s / dx|`.
    Settings and attributes are those of `FlowHMM`.
    """

    @property
    def n_flows(self) -> int:
        """S."""
        return self.n_components
