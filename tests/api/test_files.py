"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fusedrnn._files import require_writable, whole_file
from fusedrnn.bench import cli


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text("old")
    path.chmod(0o640)
    with whole_file(path) as new:
        assert (new.parent, new.suffix) == (path.parent, path.suffix)
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    path, usual = tmp_path / "new", tmp_path / "usual"
    with whole_file(path) as new:
        new.write_text("x")
    usual.write_text("x")
    assert path.stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("old", ["old", None])
def test_what_fails_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException], old: str | None) -> None:
    path = tmp_path / "data.npz"
    if old is not None:
        path.write_text(old)

    def fail() -> None:
        with whole_file(path) as new:
            new.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [file.read_text() for file in tmp_path.iterdir()] == ([] if old is None else [old])


def test_killed_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path; from fusedrnn._files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as new:\n    new.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program, str(path)], env=environment).returncode < 0
    assert path.read_text() == "old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with whole_file(link) as new:
        new.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    require_writable(pipe)
    with whole_file(pipe) as new:
        new.write_text("through")
    reader.join()
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_writable(tmp_path / "new.json")
    assert list(tmp_path.iterdir()) == []
    for path in (tmp_path / "no" / "new.json", tmp_path, Path("/proc/new.json")):
        with pytest.raises(OSError, match=path.name):
            require_writable(path)
        with pytest.raises(SystemExit):
            cli.main(["--json", str(path)])
        assert f"--json: cannot write to {path}" in capsys.readouterr().err
