"""Records what hydra-core 1.3.8 makes of overrides, configs and YAML, as lines for `mneme config selftest`."""
import math
import pathlib
import re
import tempfile
import warnings

import hydra
import omegaconf
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import RangeSweep, ValueType
from hydra.types import RunMode
from omegaconf import OmegaConf

VERSION_BASE = "1.3"
OPS = {1: "CHANGE", 2: "ADD", 3: "FORCE_ADD", 4: "DEL"}
TYPES = {int: "int", float: "float", str: "str", bool: "bool", type(None): "NoneType", list: "list", dict: "dict"}
_parser = OverridesParser.create()
warnings.simplefilter("ignore")


def environment():
    return {"kind": "env", "hydra": hydra.__version__, "omegaconf": omegaconf.__version__, "pyyaml": yaml.__version__,
            "version_base": VERSION_BASE}


def encoded(value):
    """JSON form of a value: ordered pairs for mappings, names for non-finite floats."""
    if isinstance(value, dict):
        return {"$dict": [[encoded(k), encoded(v)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [encoded(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    return value


def failure(error):
    text = f"{type(error).__name__}: {error}".replace("\n", " | ")
    return re.sub(r"(file://)?" + re.escape(tempfile.gettempdir()) + r"/\w+", "<directory>", text)[:80]


def parse(text):
    record = {"kind": "parse", "in": text}
    try:
        override = _parser.parse_override(text)
    except Exception as error:  # noqa: BLE001 - every refusal counts
        return record | {"ok": False, "err": failure(error)}
    value_type = override.value_type
    record |= {"ok": True, "op": OPS[override.type.value], "key": override.key_or_group, "pkg": override.package,
               "vt": value_type.name if value_type else None}
    if value_type is None:
        return record
    if "shuffle" in text:  # the order is random, also inside of values
        record["random"] = True
    if value_type is ValueType.ELEMENT:
        value = override.value()
        if type(value) not in TYPES or not _is_plain(value):
            return record | {"unrecordable": True}
        return record if "random" in record else record | {"type": TYPES[type(value)], "value": encoded(value)}
    raw = override._value
    if isinstance(raw, RangeSweep) and _is_huge(raw):
        return record | {"unrecordable": True}
    try:
        expanded = list(override.sweep_string_iterator())
    except Exception as error:  # noqa: BLE001
        return record | {"expand_err": failure(error)}
    if "random" in record:
        return record
    return record | {"expand": expanded}


def _is_plain(value):
    if isinstance(value, list):
        return all(_is_plain(v) for v in value)
    if isinstance(value, dict):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    return type(value) in TYPES


def _is_huge(sweep):
    numbers = (sweep.start, sweep.stop, sweep.step)
    if any(isinstance(n, float) and not math.isfinite(n) for n in numbers):
        return True
    return sweep.step == 0 or abs((sweep.stop - sweep.start) / sweep.step) > 1e4


class Tree:
    """A config directory; compositions of it are recorded."""

    def __init__(self, name, files):
        self.name, self.files = name, files
        self._directory = tempfile.TemporaryDirectory()
        self._extra = tempfile.TemporaryDirectory()
        extra = pathlib.Path(self._extra.name) / "db"
        extra.mkdir()
        (extra / "ext.yaml").write_text("n: ext\n")
        for path, text in files.items():
            target = pathlib.Path(self._directory.name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace("@EXTRA@", self._extra.name), encoding="utf-8")
        GlobalHydra.instance().clear()
        initialize_config_dir(self._directory.name, version_base=VERSION_BASE)

    def record(self):
        return {"kind": "tree", "tree": self.name, "files": self.files}

    def compose(self, config, overrides, resolve=False):
        record = {"kind": "compose", "tree": self.name, "config": config, "overrides": overrides}
        try:
            cfg = compose(config_name=config, overrides=overrides)
            record |= {"ok": True, "cfg": encoded(OmegaConf.to_container(cfg)), "yaml": OmegaConf.to_yaml(cfg)}
        except Exception as error:  # noqa: BLE001
            return record | {"ok": False, "exc": type(error).__name__, "err": failure(error)}
        if resolve:
            try:
                record["resolved"] = OmegaConf.to_yaml(cfg, resolve=True)
            except Exception:  # noqa: BLE001
                record["resolved"] = None
        return record


    def jobs(self, config, overrides):
        """The overrides of each job that Hydra's basic sweeper makes, after composing all of them."""
        record = {"kind": "jobs", "tree": self.name, "config": config, "overrides": overrides}
        try:
            loader = GlobalHydra.instance().config_loader()
            master = loader.load_configuration(config, [], RunMode.MULTIRUN)
            params = [f"{k}={v}" for k, v in (master.hydra.sweeper.params or {}).items()]
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(params + overrides)
            loader.validate_sweep_overrides_legal(parsed, RunMode.MULTIRUN, True)
            jobs = BasicSweeper.split_arguments(parsed, None)[0]
            for job in jobs:
                compose(config_name=config, overrides=job)
        except Exception as error:  # noqa: BLE001
            return record | {"ok": False, "err": failure(error)}
        return record | {"ok": True, "jobs": jobs}


def _loaded(text):
    with tempfile.NamedTemporaryFile("w+", suffix=".yaml", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        return OmegaConf.load(file.name)


def yaml_scalar(text):
    record = {"kind": "yaml_scalar", "in": text}
    try:
        value = OmegaConf.to_container(_loaded(f"key: {text}\n"))["key"]
    except Exception as error:  # noqa: BLE001
        return record | {"ok": False, "exc": type(error).__name__}
    if not _is_plain(value):
        return record | {"unrecordable": True}
    return record | {"ok": True, "type": TYPES[type(value)], "value": encoded(value)}


def yaml_document(text):
    """A whole document: the value, and the text that dumping it gives."""
    record = {"kind": "yaml", "in": text}
    try:
        config = _loaded(text)
        value = OmegaConf.to_container(config)
        dumped = OmegaConf.to_yaml(config)
    except Exception as error:  # noqa: BLE001
        return record | {"ok": False, "exc": type(error).__name__}
    if not _is_plain(value):
        return record | {"unrecordable": True}
    return record | {"ok": True, "value": encoded(value), "yaml": dumped}


def interpolation(document, key):
    record = {"kind": "interp", "doc": document, "key": key}
    try:
        value = OmegaConf.select(OmegaConf.create(document), key, throw_on_missing=True)
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
    except Exception as error:  # noqa: BLE001
        return record | {"ok": False, "exc": type(error).__name__}
    if not _is_plain(value):
        return record | {"unrecordable": True}
    return record | {"ok": True, "type": TYPES[type(value)], "value": encoded(value)}
