"""Configurations that cannot be run, by what is wrong with them: words of a command line, one configuration a line."""

BAD = {
    "not a number": """
        optimizer.lr=nan
        optimizer.weight_decay=nan
        scheduler.pct_start=nan
        model.dropout=nan
        model.width=nan
        module.label_smoothing=nan
        augmentation.level_low_db=nan
        augmentation.speed_high=nan
        features.f_max=nan
        features.amin=nan
        context_s=nan
        labels_pct=nan
        max_recording_s=nan
        checkpoint_minutes=nan
        trainer.gradient_clip_val=nan
        dataset.rt60_low_s=nan
        dataset.snr_low_db=nan
        dataset=folder dataset.clip_s=nan
        protocol.train_pct=nan
        model=gmmhmm model.tol=nan
        model=gmmhmm model.acoustic_scale=nan
        model=genhmm model.learning_rate=nan
        model=mockingjay_small objective.mask_prob=nan
        optimizer.betas=[0.9,nan]""",
    "infinite": """
        optimizer.lr=inf
        optimizer.lr=-inf
        optimizer.eps=inf
        scheduler.div_factor=inf
        augmentation.timeshift_ms=inf
        augmentation.snr_high_db=inf
        max_recording_s=inf
        checkpoint_minutes=inf
        features.scale=inf
        dataset.clip_s=inf
        dataset=fsdd dataset.clip_s=inf
        model.width=inf
        trainer.limit_train_batches=inf
        trainer.overfit_batches=inf
        model=gmmhmm model.covars_prior=inf""",
    "too small": """
        seed=-1
        batch_size=-1
        labels_pct=0
        context_s=-1
        checkpoint_minutes=0
        early_stopping.patience=-1
        optimizer.weight_decay=-1
        optimizer.betas=[-1,0.9]
        optimizer=lbfgs optimizer.max_iter=0
        scheduler=step scheduler.step_size=0
        scheduler=step scheduler.gamma=0
        scheduler=cosine scheduler.T_max=0
        scheduler=cosine_warm scheduler.T_mult=0
        scheduler=multistep scheduler.milestones=[0]
        scheduler=plateau scheduler.factor=0
        scheduler=1cycle scheduler.div_factor=0
        trainer.max_epochs=0
        trainer.devices=0
        trainer.accumulate_grad_batches=0
        trainer.log_every_n_steps=-1
        trainer.limit_val_batches=-1
        model.kernel_size=0
        model.channels=[16,0]
        model.dilation=0
        model=lstm model.hidden_size=0
        model=probe model.context=-1
        model=gmmhmm model.n_mix=0
        model=gmmhmm model.skips=-1
        model=gmmhmm model.covars_weight=-1
        model=dtw model.n_nearest=0
        model=genhmm model.n_hidden=0
        model=genhmm model.learning_rate=0
        model=genhmm model.early_size=0 model.early_every=1
        model=dnnhmm module.em_steps=-1
        model=mockingjay_small objective.mask_length=0
        features.n_mels=0
        features.win_length=-1
        dataset.clip_s=-1
        dataset=folder dataset.clip_s=-1
        dataset=folder dataset.min_phone_count=0 target=phone
        dataset.n_speakers=1
        protocol=folds protocol.n_folds=0
        protocol=fixed protocol.n_test_speakers=0
        protocol=by_recording protocol.test_pct=0
        augmentation.noise_prob=-1
        checkpoint.save_top_k=0
        checkpoint=average checkpoint.n_averaged=1""",
    "too large": """
        batch_size=99999999999999999999
        n_workers=1000000000
        trainer.num_nodes=1000000000
        model.kernel_size=1000000000
        model=lstm model.hidden_size=1000000
        model=dnnhmm model.hidden_size=1000000
        model=mockingjay_small model.n_layers=1000000000
        model=gmmhmm model.n_states=1000000000
        model=genhmm model.n_hidden=1000000000
        features.n_fft=1000000000
        features.f_max=1e9
        labels_pct=101
        model.dropout=1
        optimizer.betas=[0.9,1.0]
        scheduler=exponential scheduler.gamma=1e9
        scheduler=plateau scheduler.factor=1
        augmentation.timeshift_ms=1e9
        augmentation.noise_prob=2
        augmentation.vtl_low=3
        augmentation.room_prob=1.5
        augmentation.frequency_mask=0.2
        features=raw augmentation.vtl_low=0.9
        augmentation.room_prob=1 augmentation.room_folder=/nowhere
        augmentation=default augmentation.rolloff_low_hz=100
        augmentation.codec_prob=1 augmentation.codecs=[flac]
        model=lstm module.statistics_noise=0.5
        dataset=folder module.mixup=0.2
        model=lstm module.reparameterized=true
        teacher.run=a teacher.weight=0
        teacher.run=a teacher.temperature=0
        teacher.run=a generated.run=b augmentation=none
        teacher.run=a dataset=fsdd module.mixup=0.2 dataset.clip_s=1
        teacher.run=a streaming=true module.loss=max_pooling
        model=ecapa target=speaker +module.loss=focal
        model=dnnhmm +module.negative_weight=3
        module.loss=max_pooling
        module.loss=hinge
        module.loss=focal module.gamma=-1
        streaming=true model=branchy-tc-res8 module.loss=max_pooling
        streaming=true module.loss=max_pooling module.mixup=0.2 dataset.clip_s=1
        module.negative_weight=0
        streaming=true window_ms=10
        model=gmmhmm checkpoint=average
        model=ecapa target=speaker checkpoint=average
        checkpoint=average checkpoint.monitor=validation/eer
        normalizer=relaxed normalizer.relaxation=2
        trainer.limit_train_batches=1.5
        protocol=folds protocol.fold=9
        dataset=fsdd dataset.clip_s=1e9""",
    "of another type": """
        batch_size=1e9
        batch_size=[1,2]
        batch_size=null
        seed=1.5
        overwrite=maybe
        labels_pct=all
        encoder.layer=[1]
        optimizer.lr=fast
        optimizer.lr=[0.1]
        optimizer.betas=0.9
        optimizer.amsgrad=3
        scheduler.pct_start=half
        scheduler=multistep scheduler.milestones=10
        trainer.max_epochs=many
        trainer.max_time=abc
        trainer.devices=two
        trainer.fast_dev_run=maybe
        trainer.limit_val_batches=abc
        model.channels=[a,b]
        model.causal=3
        model=lstm model.hidden_size=null
        model=gmmhmm model.n_states=many
        model=gmmhmm model.costs=3
        model=gmmhmm model.density=null
        module.label_smoothing=null
        features.n_mels=20.5
        features.top_db=high
        dataset=folder dataset.columns=3
        dataset=kws dataset.version=new
        protocol.shared_speakers=3
        normalizer=cmvn normalizer.mean=3
        output_dir=[a]
        checkpoint.save_top_k=all""",
    "no such choice": """
        model=gmmhmm model.covariance_type=foo
        model=gmmhmm model.topology=foo
        model=gmmhmm model.start=foo
        model=gmmhmm model.density=foo
        model=gmmhmm model.density=os.system
        model=lstm model.scope=foo
        model=genhmm model.permutation=foo
        features.framing=foo
        features.window=foo
        features.log=foo
        scheduler.anneal_strategy=foo
        scheduler.interval=foo
        scheduler=cyclic scheduler.mode=foo
        scheduler=plateau scheduler.mode=foo
        optimizer=lbfgs optimizer.line_search_fn=foo
        checkpoint.mode=foo
        checkpoint.monitor=foo
        checkpoint.monitor=validation/accuracy
        trainer.accelerator=foo
        trainer.strategy=foo
        trainer.precision=foo
        target=foo
        encoder.mode=foo
        dataset=folder dataset.layout=foo
        dataset=timit dataset.phone_set=40 target=phone
        recipe=foo
        model=foo""",
    "no name": """
        experiment_id=
        experiment_id=.
        experiment_id=..
        experiment_id=../x
        experiment_id=a/b
        experiment_id=/tmp/x
        experiment_id=a\\b
        output_dir=
        dataset=folder dataset.data_folder=
        checkpoint.filename=../x
        checkpoint.filename=""",
    "no such key": """
        model.hiden=3
        +model.hiden=3
        +optimizer.lrr=3
        +scheduler.foo=3
        +module.foo=3
        model=gmmhmm +model.foo=3
        model=gmmhmm +module.foo=3
        +dataset.foo=3
        +protocol.foo=3
        +augmentation.foo=3
        +checkpoint.foo=3
        +foo.bar=3
        foo=3
        trainer.foo=3
        +trainer.foo=3
        hydra.foo=3
        choices.model=lstm""",
}
