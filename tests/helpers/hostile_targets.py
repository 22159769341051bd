"""Names of classes and functions that the configuration of a stranger must not reach, by what they would do."""

HOSTILE = {
    "commands": """
        os.system os.popen os.execv os.execl os.execvp os.spawnl os.spawnv os.posix_spawn os.fork
        os.startfile posix.system subprocess.run subprocess.call subprocess.check_call
        subprocess.check_output subprocess.Popen subprocess.getoutput subprocess.getstatusoutput pty.spawn
        pty.fork commands.getoutput asyncio.create_subprocess_shell asyncio.create_subprocess_exec
        platform.popen multiprocessing.Process multiprocessing.Pool concurrent.futures.ProcessPoolExecutor""",
    "code": """
        builtins.eval builtins.exec builtins.compile builtins.__import__ builtins.open builtins.getattr
        builtins.breakpoint importlib.import_module importlib.reload importlib.machinery.SourceFileLoader
        importlib.util.spec_from_file_location runpy.run_path runpy.run_module code.interact
        code.InteractiveConsole codeop.compile_command timeit.timeit timeit.Timer pdb.run cProfile.run
        profile.run trace.Trace bdb.Bdb doctest.testfile pydoc.locate pkgutil.resolve_name ctypes.CDLL
        ctypes.cdll.LoadLibrary types.FunctionType functools.partial operator.methodcaller
        operator.attrgetter sys.setprofile sys.settrace sys.exit os._exit os.abort os.kill signal.signal
        atexit.register threading.Thread threading.Timer sched.scheduler gc.set_debug
        distutils.core.run_setup setuptools.sandbox.run_setup pip.main pip._internal.main
        antigravity.webbrowser this.s hydra.utils.call hydra.utils.instantiate hydra.utils.get_object
        hydra._internal.utils._locate omegaconf.OmegaConf.register_new_resolver
        numba.core.compiler.compile_extra""",
    "unpickling": """
        torch.load torch.jit.load torch.hub.load torch.hub.load_state_dict_from_url
        torch.package.PackageImporter torch.utils.model_zoo.load_url torch.utils.cpp_extension.load
        torch.ops.load_library torch.classes.load_library torch.compile torch.serialization.load numpy.load
        numpy.lib.npyio.load numpy.memmap pickle.load pickle.loads pickle.Unpickler _pickle.loads
        marshal.load marshal.loads shelve.open dbm.open joblib.load cloudpickle.loads pandas.read_pickle
        yaml.load yaml.unsafe_load yaml.full_load jsonpickle.decode dill.loads
        lightning.LightningModule.load_from_checkpoint lightning.pytorch.core.saving.load_hparams_from_yaml
        multiprocessing.shared_memory.SharedMemory multiprocessing.managers.BaseManager""",
    "files": """
        pathlib.Path pathlib.Path.write_text pathlib.Path.unlink pathlib.Path.touch os.remove os.unlink
        os.rename os.makedirs os.chmod os.symlink os.truncate shutil.rmtree shutil.copyfile shutil.move
        shutil.unpack_archive shutil.make_archive tempfile.NamedTemporaryFile tempfile.mkdtemp io.open
        io.FileIO codecs.open fileinput.input zipfile.ZipFile tarfile.open gzip.open sqlite3.connect
        logging.FileHandler logging.basicConfig logging.config.fileConfig logging.config.dictConfig
        logging.handlers.SocketHandler numpy.save numpy.savetxt numpy.fromfile torch.save soundfile.write
        safetensors.torch.save_file cProfile.Profile.dump_stats""",
    "network": """
        socket.socket socket.create_connection urllib.request.urlopen urllib.request.urlretrieve
        http.client.HTTPConnection http.server.HTTPServer ftplib.FTP smtplib.SMTP telnetlib.Telnet
        poplib.POP3 imaplib.IMAP4 xmlrpc.client.ServerProxy webbrowser.open requests.get
        torch.distributed.init_process_group""",
    "ours": """
        phonaut.files.write_bytes phonaut.files.write_text phonaut.files.write_json
        phonaut.files.atomic_folder phonaut.files.locked phonaut.files.Path phonaut.files.shutil
        phonaut.files.os phonaut.runs.run.empty phonaut.runs.run.shutil.rmtree
        phonaut.runs.training.shutil.rmtree phonaut.runs.training.subprocess.run phonaut.runs.training.train
        phonaut.runs.load.import_checkpoint phonaut.runs.load.load phonaut.load
        phonaut.config.nodes.importlib phonaut.config.nodes.load_target phonaut.config.nodes.instantiate
        phonaut.config.plugins.add_config_dir phonaut.config.compose.compose phonaut.corpora.download.urllib
        phonaut.corpora.disk.find_or_fetch phonaut.cli.main phonaut.__main__.main phonaut.cli.train.Train
        phonaut.data.preparation.prepare.prepare phonaut.training.checkpointing.AtomicCheckpointIO
        phonaut.training.loop.torch.load phonaut.networks.recurrent.torch
        phonaut.hmm.emissions.import_module phonaut.models.generative_classifier.pkgutil.resolve_name
        phonaut.corpora.mix.resolve_name""",
    "tricks": """
        os..system .os.system os os.system. os.system;ls os.system() ${oc.env:HOME} ${oc.env:SHELL}.x
        torch.optim torch.optim.adamw torch.optim.Adam.step torch.optim.lr_scheduler.partial
        torch.optim.os.system torch.optim..Adam phonaut phonaut. phonaut.networks PHONAUT.networks.LSTM
        phonaut.networks.LSTM.load_state_dict phonaut.networks.lstm phonautx.networks.LSTM
        phonaut/networks/LSTM phonaut.networks:LSTM Phonaut.networks.LSTM lightning.Trainer
        lightning.pytorch.callbacks.LambdaCallback lightning.pytorch.loggers.CSVLogger
        lightning.pytorch.profilers.XLAProfiler lightning.pytorch.strategies.DeepSpeedStrategy""",
}
