"""The package as it is installed: what it imports, what its stubs say, what the environment and the README do."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import sysconfig
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from interpreter import python

ROOT = Path(__file__).parents[2]


def printed(code: str, **environment: str) -> list[str]:
    result = python("-c", code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


# Imports

NEW_MODULES = "import sys, numpy; before = set(sys.modules); {}; print(*sorted(set(sys.modules) - before))"


def test_import_needs_numpy_and_the_standard_library_only() -> None:
    loaded = {name.partition(".")[0] for name in printed(NEW_MODULES.format("import fusedrnn"))}
    assert loaded - {"fusedrnn", "numpy"} <= set(sys.stdlib_module_names) | {"__future__"}
    assert "fusedrnn" in loaded


def test_import_leaves_the_rest_for_later() -> None:
    loaded = set(printed(NEW_MODULES.format("import fusedrnn")))
    own = {name for name in loaded if name.startswith("fusedrnn.")}
    assert "fusedrnn._core" in own
    assert not {name for name in own if re.match(r"fusedrnn\.(reference|bench|__main__)", name)}
    heavy = {"argparse", "asyncio", "dataclasses", "importlib.metadata", "inspect", "multiprocessing", "subprocess"}
    assert not loaded & (heavy | {"numpy.testing", "concurrent.futures", "urllib.request"})


def test_reference_and_version_come_when_asked_for() -> None:
    code = "import sys, fusedrnn; print('fusedrnn.reference' in sys.modules); fusedrnn.reference.LSTM; {}"
    assert printed(code.format("print('fusedrnn.reference' in sys.modules)")) == ["False", "True"]
    assert fr.__version__
    assert fr.build_info()["version"]


def test_importing_twice_and_in_parts() -> None:
    code = "import fusedrnn.functional, fusedrnn.layers, fusedrnn, fusedrnn as again; print(fusedrnn is again)"
    assert printed(code) == ["True"]


# Types


def test_typed() -> None:
    assert resources.files("fusedrnn").joinpath("py.typed").is_file()
    assert resources.files("fusedrnn").joinpath("_core.pyi").is_file()


# What a stub cannot say of a class made by pybind11, or need not: its metaclass, the __init__ of one that Python code
# cannot make, and names that are there for annotations.
STUBTEST_ALLOWS = """
fusedrnn\\._core\\.(Linear|Network|StagedLayer|StagedTape|Stream|Tape)
fusedrnn\\._core\\.(StagedTape|Stream|Tape)\\.__init__
fusedrnn\\._core\\.Array
"""


def test_stub_matches_module(tmp_path: Path) -> None:
    """mypy's own comparison, both ways: names, parameters, kinds and defaults."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    allowed = tmp_path / "allowed"
    allowed.write_text(STUBTEST_ALLOWS)
    result = python("-m", "mypy.stubtest", "fusedrnn._core", "--allowlist", str(allowed), cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def stub_members() -> dict[str, Any]:
    """Every function and method of the stub by dotted name, with its parameters."""
    tree = ast.parse(resources.files("fusedrnn").joinpath("_core.pyi").read_text())
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node.args
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = None
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
            found |= {f"{node.name}.{part.name}": part.args for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def module_members() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in vars(fr._core).items():
        if name.startswith("_"):
            continue
        found[name] = value
        if inspect.isclass(value):
            public = {k: v for k, v in vars(value).items() if not k.startswith("_") or k == "__init__"}
            found |= {f"{name}.{k}": v for k, v in public.items()}
    return found


def test_stub_names_parameters_as_the_module_does() -> None:
    """Without mypy: the signatures pybind11 writes into its docstrings, against the stub's."""
    stub, module = stub_members(), module_members()
    created_by_python = {f"{name}.__init__" for name in ("StagedTape", "Stream", "Tape")}  # not to be made by hand
    assert set(stub) == set(module) - created_by_python
    compared = 0
    for name, arguments in stub.items():
        text = getattr(module[name], "__doc__", None) or ""
        if arguments is None or isinstance(module[name], property):
            continue
        signature = re.match(r"\w+\((.*)\)(?: -> .*)?$", text.splitlines()[0])
        assert signature, f"{name}: no signature in {text!r}"
        theirs = [part.strip() for part in re.split(r",\s*(?![^\[\(]*[\]\)])", signature[1]) if part.strip()]
        names = [re.match(r"\*?\w*", part)[0] for part in theirs]  # type: ignore[index]
        ours = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
        ours += (["*"] if arguments.kwonlyargs else []) + [a.arg for a in arguments.kwonlyargs]
        assert names == ours, name
        optional = [n for part, n in zip(theirs, names, strict=True) if "=" in part]
        defaults = len(arguments.defaults) + sum(d is not None for d in arguments.kw_defaults)
        assert len(optional) == defaults, name
        compared += 1
    assert compared >= 15


PUBLIC = {
    *("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell", "Stream", "Tape", "Gradients"),
    *("functional", "streaming", "nn", "onnx", "optim", "plot", "reference", "fit", "gradient_flow", "tbptt"),
    *("from_flax", "from_keras", "from_torch", "load_keras", "save", "load"),
    *("set_num_threads", "get_num_threads", "threads", "isa", "use_isa", "available_isas", "build_info"),
}


def test_public_names() -> None:
    """What the package shows is what it promises and its modules, and every `__all__` names what exists, once."""
    shown = {name for name in dir(fr) if not name.startswith("_")}
    assert shown - {"cells", "layers", "runtime", "training", "bench", "convert", "files", "torch"} == PUBLIC
    assert {"lstm", "gru", "rnn"} == set(fr.functional.__all__)
    for module in (fr.functional, fr.streaming, fr.reference, fr.nn, fr.onnx, fr.optim, fr.plot):
        assert len(module.__all__) == len(set(module.__all__))
        assert all(hasattr(module, name) for name in module.__all__)


def test_every_public_name_is_there_and_documented() -> None:
    for name in PUBLIC:
        assert getattr(fr, name).__doc__
        assert re.search(rf"\b{name}\b", fr.__doc__ or ""), f"help(fusedrnn) does not name {name}"
    for function in (fr.LSTM.__call__, fr.GRU.__call__, fr.functional.lstm, fr.functional.gru, fr.functional.rnn):
        assert re.search(r"^ +lengths: .*\n(?: .*\n)+? +reset: ", function.__doc__ or "", re.MULTILINE)
    assert fr.reference is sys.modules["fusedrnn.reference"]
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fr.nonsense  # type: ignore[attr-defined]


def test_help_fits_two_screens() -> None:
    import pydoc

    assert len(pydoc.render_doc(fr).splitlines()) < 100


# Instruction sets


ISA_TABLE = dict(re.findall(r"set\(FUSEDRNN_ISAS_(\w+) ([\w ]+)\)", (ROOT / "cmake" / "IsaTable.cmake").read_text()))
FLAGS = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"}}
"""The flags of /proc/cpuinfo that an instruction set needs. One that is not here needs none."""
NOT_AVAILABLE = next(isa for isa in " ".join(ISA_TABLE.values()).split() if isa not in fr.available_isas())


def test_every_instruction_set_of_this_machine_is_there() -> None:
    """The list other tests go through is complete: nothing compiled in and able to run is missing from it."""
    compiled, available = fr._core.compiled_isas(), fr.available_isas()
    assert "scalar" in available
    assert available == [name for name in compiled if name in available]
    machine = sysconfig.get_platform().rpartition("-")[2]
    assert set(compiled) == set(ISA_TABLE.get(machine, ISA_TABLE["other"]).split())
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", info.read_text(), re.MULTILINE)
        flags = set(found[1].split()) if found else set()
        assert available == [name for name in compiled if FLAGS.get(name, set()) <= flags]


def test_the_best_is_the_default() -> None:
    """The last one of the list, which begins with the slowest."""
    assert printed("import fusedrnn as fr; print(fr.isa())") == [fr.available_isas()[-1]]


# Environment


@pytest.mark.parametrize("name", fr.available_isas())
def test_isa_from_the_environment(name: str) -> None:
    code = "import fusedrnn as fr; print(fr.isa(), fr.build_info()['isa'])"
    assert printed(code, FUSEDRNN_ISA=name) == [name, name]


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx", NOT_AVAILABLE])
def test_bad_isa_in_the_environment(name: str) -> None:
    result = python("-c", "import fusedrnn", FUSEDRNN_ISA=name)
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert "FUSEDRNN_ISA" in message
    assert f"'{name}'" in message
    assert all(available in message for available in fr.available_isas())


@pytest.mark.parametrize("count", ["1", "3", "64"])
def test_threads_from_the_environment(count: str) -> None:
    assert printed("import fusedrnn as fr; print(fr.get_num_threads())", FUSEDRNN_NUM_THREADS=count) == [count]


@pytest.mark.parametrize("count", ["0", "-1", "two", "2.5", "2x", "99999999999999999999"])
def test_bad_threads_in_the_environment(count: str) -> None:
    result = python("-c", "import fusedrnn", FUSEDRNN_NUM_THREADS=count)
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert "FUSEDRNN_NUM_THREADS" in message
    assert f"'{count}'" in message


def test_empty_variables_are_unset() -> None:
    code = "import fusedrnn as fr; print(fr.isa(), fr.get_num_threads())"
    assert printed(code, FUSEDRNN_ISA="", FUSEDRNN_NUM_THREADS="") == printed(code)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processor affinity on this system")
def test_threads_are_the_processors_this_process_may_use() -> None:
    code = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); "
    assert printed(code + "import fusedrnn as fr; print(fr.get_num_threads())") == ["1"]
    count = int(printed("import fusedrnn as fr; print(fr.get_num_threads())")[0])
    assert 1 <= count <= len(os.sched_getaffinity(0))  # less under a CPU quota: cpp/tests/test_processors.cpp


@pytest.mark.parametrize(("text", "count"), [("3", "3"), ("5,2", "5"), (" 7 , 1", "7"), ("4096", "4096")])
def test_threads_from_openmp_where_there_are_none_for_us(text: str, count: str) -> None:
    code = "import fusedrnn as fr; print(fr.get_num_threads())"
    assert printed(code, OMP_NUM_THREADS=text) == [count]
    assert printed(code, OMP_NUM_THREADS=text, FUSEDRNN_NUM_THREADS="") == [count]
    assert printed(code, OMP_NUM_THREADS=text, FUSEDRNN_NUM_THREADS="2") == ["2"]


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "2x", "2.5", ",2", "4097", "99999999999999999999"])
def test_nonsense_for_openmp_does_not_count(text: str) -> None:
    code = "import fusedrnn as fr; print(fr.get_num_threads())"
    assert printed(code, OMP_NUM_THREADS=text) == printed(code)


# What is written


def readme_programs() -> list[str]:
    readme = ROOT / "README.md"
    assert readme.is_file(), "there is no README.md"
    program = re.compile(r"^(<!-- needs torch -->\n)?```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
    # tests/pytorch/test_readme.py runs those that need torch
    return [code for needs_torch, code in program.findall(readme.read_text()) if not needs_torch]


def test_readme_programs_run_as_written(tmp_path: Path) -> None:
    programs = readme_programs()
    assert len(programs) >= 5
    assert all(len(program.splitlines()) <= 15 for program in programs)
    result = python("-W", "error", "-c", "\n".join(programs), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    loss, left = re.findall(r"[\d.e-]+$", result.stdout, re.MULTILINE)
    assert float(loss) < 0.01
    assert float(left) < 1e-8


def test_metadata_of_an_installed_package() -> None:
    try:
        distribution = metadata.distribution("fusedrnn")
    except metadata.PackageNotFoundError:
        assert fr.__version__ == "unknown"
        pytest.skip("run from a source tree: nothing is installed")
    assert distribution.version == fr.__version__
    needed = [line for line in distribution.requires or [] if "extra ==" not in line]
    assert [re.match(r"[\w-]+", line)[0] for line in needed] == ["numpy"]  # type: ignore[index]
    assert fr.build_info()["version"] == fr.__version__


def test_docstrings_run_as_written() -> None:
    """The example in the package's own docstring."""
    assert fr.__doc__
    code = "\n".join(line[4:] for line in fr.__doc__.splitlines() if line.startswith("    "))
    names: dict[str, Any] = {}
    exec(code, names)  # our own docstring
    assert names["y"].shape == (50, 32, 128)
    assert names["h"].dtype == np.float32
