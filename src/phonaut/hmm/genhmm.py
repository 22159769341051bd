"""GenHMM: every component of every state has a generator of its own."""

from phonaut.hmm.flows import FlowHMM


class GenHMM(FlowHMM):
    """State s emits a mixture of K generators, `p(x | s) = sum_k w_sk p_sk(x)`, `p_sk` a flow of its own.

    Settings and attributes are those of `FlowHMM`. The last layer of each generator, a scale and a shift, is held as
    standard deviation and mean of its latent.

    Source: Liu, Honore, Chatterjee and Rasmussen 2019, "Powering hidden Markov model by neural network based generative
    models", arXiv 1910.05744.
    """

    @property
    def n_flows(self) -> int:
        """S K."""
        return self.n_components * self.n_mix
