"""Folders of frames from corpora of recordings, by their own front end."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from phonaut.data.frame_writer import FrameWriter
from phonaut.tasks import build as parts


def write_frames(config: DictConfig, folder: Path) -> Path:
    """The frames of all recordings of `config.dataset`, without normaliser, with all their labels."""
    prepared = parts.prepared_corpus(config)
    front_end = parts.speech_model(config, 2).front_end
    layout = {"frame_shift_s": front_end.frame_shift_s, "frame_offset_s": front_end.frame_offset_s}
    with FrameWriter(folder, n_features=front_end.n_features, made_from="tests", **layout) as writer:
        for split in ("train", "validation", "test"):
            table = prepared.utterances(split)
            for row in range(len(table)):
                audio = torch.from_numpy(table.audio(row))[None]
                frames, _ = front_end(audio, torch.tensor([audio.shape[1]]))
                which = slice(int(table.phone_offset[row]), int(table.phone_offset[row + 1]))
                labels = [table.phones[code] for code in table.phone_label[which]]
                writer.add(
                    frames[0].numpy(),
                    id=table.id(row),
                    split=split,
                    recording=table.recording(row),
                    speaker=table.speaker_name(row),
                    word=table.word_name(row),
                    text=table.text(row),
                    session=table.session(row),
                    phones=list(
                        zip(
                            labels,
                            table.phone_start_s[which].tolist(),
                            table.phone_end_s[which].tolist(),
                            strict=True,
                        )
                    ),
                    duration_s=float(table.durations_s[row]),
                )
    return folder
