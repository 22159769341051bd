"""Names of earlier versions: one table maps old `_target_`s, keys and weights' names of stored runs to today's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from phonaut.names import did_you_mean

# Old `_target_` -> today's. A stored run keeps the name of the class that it was trained with.
TARGETS = {
    "phonaut.data.augmentation.Augmentation": "phonaut.data.augmentation.chain.Augmentation",
    "phonaut.features.Level": "phonaut.features.GainNormalizer",
    "phonaut.corpora.research_data.ResearchCorpus": "phonaut.corpora.genhmm_data.corpus.ResearchCorpus",
    "phonaut.modules.ClassDensities": "phonaut.models.GenerativeClassifier",
    "phonaut.models.ClassDensities": "phonaut.models.GenerativeClassifier",
    "phonaut.modules.DNNHMM": "phonaut.models.DNNHMM",
    "phonaut.modules.EM": "phonaut.training.EM",
    "phonaut.modules.Hybrid": "phonaut.training.Hybrid",
    "phonaut.modules.Majority": "phonaut.models.Majority",
    "phonaut.modules.Representation": "phonaut.training.Representation",
    "phonaut.modules.SpeechClassifier": "phonaut.training.SpeechClassifier",
    "phonaut.modules.Templates": "phonaut.models.DTWTemplates",
    "phonaut.models.Templates": "phonaut.models.DTWTemplates",
    "phonaut.modules.objectives.APC": "phonaut.models.objectives.APC",
    "phonaut.modules.objectives.Mockingjay": "phonaut.models.objectives.Mockingjay",
    "phonaut.modules.objectives.Tera": "phonaut.models.objectives.Tera",
    "phonaut.modules.warmup.Warmup": "phonaut.training.warmup.Warmup",
}

# Old keys -> today's, within the same group; they may still be typed.
KEYS = {
    "model.over": "model.scope",
    "model.stride": "model.stack_size",
    "objective.ahead": "objective.n_future",
    "objective.consecutive": "objective.mask_length",
    "objective.frequency_share": "objective.mask_frequency",
    "objective.noise_share": "objective.noise_prob",
    "objective.random_share": "objective.mask_random_prob",
    "objective.share": "objective.mask_prob",
    "objective.zero_share": "objective.mask_zero_prob",
    "model.linear": "model.calibration",
    "model.durations": "model.duration_model",
    "model.first_fit": "model.gmm_init_steps",
}

# Old choices -> today's.
CHOICES = {"normalizer=level": "normalizer=gain"}

# Models that serve several tasks -> their systems of verification.
IN_VERIFICATION = {"model=dtw": "model=dtw_verification"}

# Corpora that divided themselves.
DIVIDED = ("folder", "frames", "fsdd", "genhmm_data", "kws", "librispeech", "mix", "snips", "speechocean762", "timit",
           "vad")  # fmt: skip

# Old keys by which corpora divided themselves -> those of protocols.
MOVED = {
    f"dataset.{key}": f"protocol.{key}"
    for key in ("fold", "n_folds", "train_pct", "dev_pct", "test_pct", "validation_pct", "validation_speakers",
                "test_speakers", "shared_speakers")
}  # fmt: skip

# Old choices by which they did -> today's words.
DIVISIONS = {
    "dataset.protocol=core": ["dataset.test_set=core"],
    "dataset.protocol=complete": ["dataset.test_set=complete"],
    "dataset.protocol=given": ["protocol=official"],
    "dataset.protocol=speakers": ["protocol=by_speaker"],
    "dataset.protocol=recordings": ["protocol=by_recording"],
    "dataset.use_default_split=true": ["protocol=official"],
    "dataset.use_default_split=false": [],
    "dataset.group_speakers_by_id=false": ["protocol=by_recording", "protocol.balance=false"],
    "dataset.group_speakers_by_id=true": [],
}

# Old values of keys -> today's.
VALUES = {
    "choices.normalizer": {"level": "gain"},
    "model.density": {
        "gmmhmm": "phonaut.hmm.emissions.MixtureEmissions",
        "genhmm": "phonaut.hmm.emissions.GenEmissions",
        "lathmm": "phonaut.hmm.emissions.LatEmissions",
        "gshmm": "phonaut.hmm.emissions.GSEmissions",
    },
}


# Words of other tools, and of the originals of this one -> what to type; a key without a group stands for
# all that end so.
WITH_BITS = re.compile(r"compress=(linear|fp)_(\d+)_(\d+)_(\d+)")
SUCCESSORS = {
    # hannah and its Lightning
    "trainer.gpus": "trainer.accelerator=gpu trainer.devices=1, or trainer.devices=[2] for one by its number",
    "trainer.auto_select_gpus": "trainer.accelerator=auto, which takes the first GPU",
    "trainer.default_root_dir": "output_dir=FOLDER",
    "trainer.num_processes": "trainer.devices=2 trainer.accelerator=cpu",
    "trainer.tpu_cores": "trainer.accelerator=gpu or cpu",
    "trainer.distributed_backend": "trainer.strategy=ddp",
    "trainer.resume_from_checkpoint": "the same experiment_id again, which resumes",
    "trainer.checkpoint_callback": "checkpoint=best or checkpoint=all",
    "trainer.progress_bar_refresh_rate": "trainer.enable_progress_bar=false",
    "trainer.weights_summary": "leave it out: report.html has it",
    "trainer.val_percent_check": "trainer.limit_val_batches=0.5",
    "trainer.train_percent_check": "trainer.limit_train_batches=0.5",
    "trainer.test_percent_check": "leave it out: figures are those of the whole test split",
    "trainer.row_log_interval": "trainer.log_every_n_steps=10",
    "trainer.amp_level": "trainer.precision=16-mixed or bf16-mixed",
    "trainer.auto_lr_find": "optimizer.lr=0.01",
    "trainer.auto_scale_batch_size": "batch_size=100",
    "trainer.stochastic_weight_avg": "checkpoint=average, the mean of the last epochs",
    "dataset.extract": "dataset.extract_loudest=true, or dataset.clip_s=1: the loudest window",
    "dataset.noise_dataset": "dataset=kws, snips, vad, fsdd or folder, which take folders of noise",
    "dataset.cls": "dataset=kws; phonaut --help lists them",
    "dataset.dataset": "dataset=kws; phonaut --help lists them",
    "dataset.lang": "dataset=vad dataset.lang=de, or dataset.data_folder=FOLDER of the language",
    "dataset.data_split": "dataset=vad dataset.data_split=vad_balanced, or protocol=official",
    "dataset.timeshift_ms": "augmentation.timeshift_ms=100",
    "dataset.train_snr_low": "augmentation.snr_low_db=10",
    "dataset.train_snr_high": "augmentation.snr_high_db=40",
    "dataset.test_snr": "phonaut evaluate RUN noise=white snr_db=10",
    "dataset.input_length": "dataset.clip_s=1.0",
    "dataset.samplingrate": "features.sample_rate=16000",
    "dataset.loss": "module.label_smoothing=0.1",
    "scheduler.step.lr": "optimizer.lr=0.01",
    "scheduler.step.stepsize": "scheduler=step scheduler.step_size=30",
    "scheduler.lr": "optimizer.lr=0.01, or scheduler.max_lr=0.01",
    "compress": "leave it out: models are not compressed here",
    "type": "model=tc-res8; phonaut --help lists them",
    "model_name": "model=tc-res8; phonaut --help lists them",
    "module=stream_classifier": "module=speech_classifier",
    "module.time_masking": "augmentation.time_mask_ms=100",
    "module.frequency_masking": "augmentation.frequency_mask=0.1",
    "module.batch_size": "batch_size=128",
    "features.bn_len": "features.n_filters=40",
    "features.pool_len": "features.pool=2",
    "features.out_channels": "features.n_filters=40",
    "features.min_low_hz": "features.least_hz=50",
    "features.min_band_hz": "features.least_band_hz=50",
    "dataset.variants": "dataset=vad dataset.lang=[de], or dataset.version=1 of kws",
    "dataset.clear_split": "leave it out: files stay where they are",
    "trainer=cross_validation": "-m protocol=folds protocol.fold=0,1,2,3,4",
    # Mockingjay and s3prl
    "optimizer.learning_rate": "optimizer.lr=0.0004",
    "features.feature_type": "features=mel, fbank, linear or mfcc",
    "log_step": "trainer.log_every_n_steps=10",
    "save_step": "checkpoint_minutes=5, and checkpoint=all for every epoch",
    "max_keep": "checkpoint.save_top_k=5",
    "total_steps": "trainer.max_steps=500000",
    "dev_step": "trainer.check_val_every_n_epoch=1",
    "eval_step": "trainer.check_val_every_n_epoch=1",
    "learning_rate": "optimizer.lr=0.0004",
    "warmup_proportion": "scheduler=warmup scheduler.share=0.07",
    "gradient_clipping": "trainer.gradient_clip_val=1.0",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches=1",
    "apex": "trainer.precision=bf16-mixed",
    "ckpdir": "output_dir=FOLDER",
    "ckpt": "experiment_id=NAME",
    "logdir": "output_dir=FOLDER: TensorBoard's events lie in the run",
    "data_path": "dataset.data_folder=FOLDER",
    "feature_type": "features=mel, fbank, linear or mfcc",
    "target_path": "target_features=linear",
    "n_jobs": "n_workers=2",
    "max_timestep": "max_recording_s=30",
    "num_hidden_layers": "model.n_layers=3",
    "num_attention_heads": "model.n_heads=12",
    "hidden_dropout_prob": "model.dropout=0.1",
    "attention_probs_dropout_prob": "model.dropout=0.1",
    "downsample_rate": "model.stack_size=3",
    "mask_proportion": "objective.mask_prob=0.15",
    "mask_consecutive": "objective.mask_length=7",
    "noise_proportion": "objective=tera objective.noise_prob=0.15",
    # GenHMM and hmmlearn
    "nclasses": "classes=2",
    "nepochs": "trainer.max_epochs=10",
    "n_prob_components": "model.n_mix=3",
    "n_components": "model.n_states=3",
    "em_skip": "model.n_passes=5",
    "n_iter": "trainer.max_epochs=10",
    "niter": "trainer.max_epochs=10",
    "startprob_type": "model.start=first",
    "transmat_type": "model.topology=left_to_right",
    "net_H": "model.n_hidden=24",
    "net_nchain": "model.n_couplings=8",
    "mask_type": "model.mask=cross",
    # hannah
    "module.distil_weight": "teacher.run=trained_models/ID teacher.weight=0.6",
    "module.teacher_checkpoint": "teacher.run=trained_models/ID",
    "time_masking": "augmentation.time_mask_ms=100",
    "frequency_masking": "features=melspec augmentation.frequency_mask=0.1",
    "fold_bn": "compress=linear_8_8_8 compress.fold_bn=0.7",
    # anybody's
    "epochs": "trainer.max_epochs=20",
    "lr": "optimizer.lr=0.01",
    "gpu": "trainer.accelerator=gpu",
    "gpus": "trainer.accelerator=gpu trainer.devices=1",
    "device": "trainer.accelerator=cpu",
    "data_folder": "dataset=folder dataset.data_folder=FOLDER",
    "data_dir": "dataset=folder dataset.data_folder=FOLDER",
    "name": "experiment_id=NAME",
    "sample_rate": "features.sample_rate=16000",
    "patience": "early_stopping.patience=5",
    "num_workers": "n_workers=2",
    "precision": "trainer.precision=bf16-mixed",
    "dropout": "model.dropout=0.2",
}


def successor(key: str, known: Iterable[str] = ()) -> str:
    """What to type in place of a word that is unknown, as the end of a sentence; empty where nothing is.

    >>> successor("trainer.gpus", ["trainer.devices"]), successor("trainer.epochs", ["trainer.max_epochs"])
    (': type trainer.accelerator=gpu trainer.devices=1, or trainer.devices=[2] for one by its number', '; did you mean \
trainer.max_epochs?')
    >>> successor("solver.log_step")
    ': type trainer.log_every_n_steps=10'
    """
    near, names, parts = "", list(known), key.replace("-", "_").split(".")
    groups = {name.partition(".")[0] for name in names if "." in name}
    if key not in SUCCESSORS and len(parts) > 1 and (parts[0] in groups or did_you_mean(parts[0], groups)):
        near = did_you_mean(key, names)
    ends = [".".join(parts[i:]) for i in range(len(parts))]
    words = next((SUCCESSORS[end] for end in (*ends, parts[0]) if end in SUCCESSORS), "")
    return near or (f": {'' if words.startswith('leave') else 'type '}{words}" if words else did_you_mean(key, names))


def current_override(override: str) -> str:
    """An override with today's key or choice.

    >>> current_override("++model.over=recording")
    '++model.scope=recording'
    """
    override = CHOICES.get(override, override)
    key, equals, value = override.partition("=")
    sign = key[: len(key) - len(key.lstrip("+~"))]
    key = KEYS.get(key.lstrip("+~"), key.lstrip("+~"))
    return sign + key + equals + VALUES.get(key, {}).get(value, value)


def with_bits(word: str) -> list[str]:
    """A choice of `compress` with its bits in the name, as the choice and the bits.

    >>> with_bits("compress=linear_6_4_8"), with_bits("compress=null")
    (['compress=linear', 'compress.bits=[6,4,8]'], ['compress=null'])
    """
    match = WITH_BITS.fullmatch(word)
    return [f"compress={match[1]}", f"compress.bits=[{','.join(match.groups()[1:])}]"] if match else [word]


def current_overrides(words: Sequence[str]) -> list[str]:
    """The words of a command line with today's keys and choices.

    >>> current_overrides(["dataset=folder", "dataset.protocol=speakers", "dataset.test_speakers=[18]"])
    ['dataset=folder', 'protocol=by_speaker', 'protocol.test_speakers=[18]']
    >>> current_overrides(["task=verification", "model=dtw"])
    ['task=verification', 'model=dtw_verification']
    """
    words = [new for word in words for new in with_bits(current_override(word))]
    if "task=verification" in words:  # a model that classifies, too, has a file of its own for it
        words = [IN_VERIFICATION.get(word, word) for word in words]
    is_speaker, by_folds = "target=speaker" in words, "dataset=speechocean762" in words
    if any(word.startswith("dataset=") and word.partition("=")[2] not in DIVIDED for word in words):
        return words
    translated: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "dataset.protocol" and is_speaker and (by_folds or value == "recordings"):
            translated.append("protocol=within_speakers")
        elif key == "dataset.protocol":
            translated += DIVISIONS.get(word, [f"protocol={value}"])
        elif key in MOVED:
            translated.append(f"{MOVED[key]}={value}")
        else:
            translated += DIVISIONS.get(word.replace("=True", "=true").replace("=False", "=false"), [word])
    if by_folds and not any(word.startswith("protocol=") for word in translated):
        keys = ("protocol.fold=", "protocol.n_folds=")
        if is_speaker:  # who are told apart are in all splits, whatever the fold
            translated = [word for word in translated if not word.startswith(keys)]
        elif any(word.startswith(keys) for word in translated):
            translated.insert(translated.index("dataset=speechocean762") + 1, "protocol=folds")
    return translated


def check_once(words: Iterable[str]) -> None:
    """Refuse a group or key that was typed twice with different values, under whichever of its names.

    Raises:
        ValueError: with both words.

    >>> check_once(["model=lstm", "seed=1", "model=lstm"])
    """
    typed: dict[str, tuple[str, str]] = {}
    for word in words:
        for new in with_bits(current_override(word)):
            key, equals, value = new.partition("=")
            before, given = typed.setdefault(key.lstrip("+~"), (word, equals + value))
            if given != equals + value:
                raise ValueError(f"{key.lstrip('+~')} is typed twice, {before} and {word}: leave one out")


def current(config: Any, path: str = "") -> Any:
    """A stored configuration, plain containers, with today's names; what has none of the old ones is as it was.

    >>> current({"module": {"_target_": "phonaut.modules.EM"}, "seed": 0})
    {'module': {'_target_': 'phonaut.training.EM'}, 'seed': 0}
    """
    if isinstance(config, Mapping):
        ours = str(config.get("_target_", "phonaut.")).startswith("phonaut.")  # others name their options as they like
        within = path.removeprefix("encoder.built.")  # nodes of another run
        renamed = {
            KEYS.get(f"{within}{key}" if ours else "", str(key)).rpartition(".")[2]: TARGETS.get(value, value)
            if key == "_target_"
            else current(value, f"{path}{key}.")
            for key, value in config.items()
        }
        return with_task(with_protocol(renamed)) if not path and renamed.get("dataset") else renamed
    if isinstance(config, list):
        return [current(value) for value in config]
    return VALUES.get(path.removesuffix("."), {}).get(config, config) if isinstance(config, str) else config


def with_task(config: dict[str, Any]) -> dict[str, Any]:
    """A stored configuration of a time before tasks, with the task that followed from its training loop."""
    if "task" in config or "_target_" not in config.get("module", {}):
        return config
    name = "pretraining" if config["module"]["_target_"].endswith(".Representation") else "classification"
    chosen = {"choices": {**config["choices"], "task": name}} if "choices" in config else {}
    return {**config, "task": {"_target_": f"phonaut.tasks.{name}.{name.title()}"}, **chosen}


def with_protocol(config: dict[str, Any]) -> dict[str, Any]:
    """A stored configuration whose corpus divided itself, with the protocol that does so now."""
    dataset = dict(config["dataset"])
    if "protocol" in config or "_target_" not in dataset:
        return config
    if not dataset["_target_"].startswith("phonaut."):
        return {**config, "protocol": {"_target_": "phonaut.corpora.protocols.Auto"}}
    dataset["corpora"] = [
        {**part, "corpus": without_division(dict(part["corpus"]))} for part in dataset.get("corpora", [])
    ]
    old = {key: dataset.get(key) for key in ("protocol", "use_default_split", "group_speakers_by_id")}
    name, options = old["protocol"] or "auto", {new.partition(".")[2]: dataset.get(key.partition(".")[2])
                                               for key, new in MOVED.items()}  # fmt: skip
    kind, is_speaker = dataset["_target_"].rpartition(".")[2], config.get("target") == "speaker"
    if kind == "TIMIT":
        dataset["test_set"], name = name, "official"
    elif kind == "SyntheticCorpus" or old["use_default_split"] or name == "given":
        name = "official"
    elif kind == "Mix":
        name = "unlabelled"
    elif old["group_speakers_by_id"] is False:
        name, options["balance"] = "by_recording", False
    elif (
        kind == "Speechocean762" and name == "folds" and (is_speaker or (options["fold"], options["n_folds"]) == (0, 5))
    ):
        name = "auto"
    elif is_speaker and (kind == "Speechocean762" or name == "recordings"):
        name = "within_speakers"
    name = {"speakers": "by_speaker", "recordings": "by_recording"}.get(name, name)
    if [options.get(key) for key in SHARES] == [80, 10, 10]:  # what corpora have by themselves
        options = {key: value for key, value in options.items() if key not in SHARES}
    taken = {key: value for key, value in options.items() if key in TAKEN_BY.get(name, ()) and value is not None}
    target = "phonaut.corpora.protocols." + "".join(part.title() for part in name.split("_"))
    dataset = without_division(dataset) | ({"corpora": dataset["corpora"]} if dataset["corpora"] else {})
    chosen = {"choices": {**config["choices"], "protocol": name}} if "choices" in config else {}
    return {**config, "dataset": dataset, "protocol": {"_target_": target, **taken}, **chosen}


SHARES = ("train_pct", "dev_pct", "test_pct")
TAKEN_BY = {  # the old keys that a protocol takes
    "auto": ("validation_speakers", "test_speakers", "shared_speakers", *SHARES),
    "official": ("shared_speakers", *SHARES),
    "by_speaker": ("validation_speakers", "test_speakers", *SHARES),
    "by_recording": ("balance", *SHARES),
    "within_speakers": SHARES,
    "folds": ("fold", "n_folds"),
    "leave_one_speaker_out": ("fold",),
    "unlabelled": ("validation_pct",),
}


def without_division(dataset: dict[str, Any]) -> dict[str, Any]:
    """The settings of a corpus without those by which it divided itself."""
    gone = {"dataset.protocol", "dataset.use_default_split", "dataset.group_speakers_by_id", *MOVED}
    return {key: value for key, value in dataset.items() if f"dataset.{key}" not in gone and key != "corpora"}
