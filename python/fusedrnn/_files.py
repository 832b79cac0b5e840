"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The path of a new file beside `path`, which takes its place when the block has ended well.

    Whatever happens on the way (an error, a full disk, the end of the process or of the power), `path` holds either
    what it held before or all that was written. The new file has the ending of `path`. A pipe or a device is written
    as it is.
    """
    final = _followed(path)
    if _is_special(final):
        yield final
        return
    new = _empty_file_beside(final)
    try:
        yield new
        _reach_the_disk(new)
        os.replace(new, final)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _reach_the_disk(final.parent)


def require_writable(path: Path) -> None:
    """OSError now where `whole_file` would fail later: no such folder, no permission, a folder of that name."""
    final = _followed(path)
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not _is_special(final):
        _empty_file_beside(final).unlink()
    elif not os.access(final, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _followed(path: Path) -> Path:
    """The file that a link leads to: the link itself stays."""
    return Path(os.path.realpath(path))


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _empty_file_beside(path: Path) -> Path:
    """In the same folder, since only there it can take the place at once; with the permissions of what it replaces."""
    new = path.with_name(f".{secrets.token_hex(8)}.new{path.suffix}")
    try:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        error.filename = str(path)  # what the caller knows of
        raise
    if path.is_file():
        new.chmod(stat.S_IMODE(path.stat().st_mode))
    return new


def _reach_the_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
