"""What early answers save: accuracy, multiply-accumulates and time of a branchy run by confidence.

    python benchmarks/exits.py trained_models/ID/branchy-tc-res8 [--split test]

Time is that of the network on one clip after another, one thread, processor time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from phonaut.metrics.intervals import wilson
from phonaut.runs.load import load
from phonaut.tasks.build import prepared_corpus
from phonaut.tasks.classification import speech_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    given = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(given.run)
    network, front_end = loaded.model.network, loaded.model.front_end
    data = speech_data(loaded.config, prepared_corpus(loaded.config), list(loaded.about["classes"]))
    with torch.no_grad():
        batches = [(*loaded.model.segments(batch), batch.labels) for batch in data.batches(given.split)]
        of_exits = torch.cat([network.exit_scores(frames, lengths) for frames, lengths, _ in batches], dim=1)
        labels = torch.cat([labels for *_, labels in batches])
        n_frames = round(torch.cat([lengths for _, lengths, _ in batches]).double().mean().item())
        costs = torch.tensor(network.exit_macs(n_frames, front_end.n_features))
        print(
            f"{len(labels)} clips of {given.split}, {n_frames} frames on average; MACs to each exit: {costs.tolist()}"
        )
        print(f"{'confidence':>10} {'accuracy':>9} {'95 % interval':>16} {'exits':>20} {'MACs':>6} {'ms a clip':>10}")
        for confidence in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0):
            network.confidence = confidence
            scores, taken = network.chosen(of_exits)
            right = (scores.argmax(dim=1) == labels).double()
            low, high = wilson(int(right.sum()), len(labels))
            share = [(taken == e).double().mean().item() for e in range(len(costs))]
            macs = costs[taken].double().mean() / costs[-1]
            start = time.process_time()
            for frames, lengths, _ in batches:
                for i in range(len(frames)):
                    network(frames[i : i + 1, : lengths[i]], lengths[i : i + 1])
            ms = 1000 * (time.process_time() - start) / len(labels)
            exits = " ".join(f"{100 * one:5.1f}%" for one in share)
            print(f"{confidence:10} {right.mean():9.4f} {low:8.4f}{high:8.4f} {exits:>20} {macs:6.3f} {ms:10.3f}")


if __name__ == "__main__":
    main()
