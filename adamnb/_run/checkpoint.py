"""Checkpoints: what a run goes on from, in one file that is whole or refused."""

import hashlib
import os
import time
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .._problem.state import plain

VERSION = 1  # of the files that are written; older ones are read as well
DIGITS = 64  # of a checksum; the comment of the archive, and so the end of the file
PIECE = 2**22  # bytes that are digested at once


class CheckpointError(Exception):
    """A checkpoint that cannot be gone on from: damaged, of another problem, or of a newer version."""


class Checkpoint:
    """A file that a run writes now and then, and at its end.

    It is a NumPy archive (.npz) without pickles. A new one is written beside it and takes its place
    at once, so that there is a whole file at any time; where it cannot be written, the old one stays.

    Parameters
    ----------
    path : str or path
        Where; ".npz" is added to a name without.
    every : float
        Seconds between two of them.
    labels : dict of str
        What the run is of, by name; a run with other labels does not go on from it.
    """

    def __init__(self, path: Any, every: float, labels: Mapping[str, str]) -> None:
        self.path, self.every, self.labels = file_of(path), every, labels
        if not self.path.parent.is_dir():
            raise ValueError(
                f"`checkpoint` must be a file in a folder that exists; got {str(self.path)!r}."
            )
        self.next = time.monotonic() + every

    def due(self) -> bool:
        """Return whether it is time for a new one."""
        return time.monotonic() >= self.next

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state; warn where that cannot be done."""
        try:
            write(self.path, dict(state) | {f"label.{k}": v for k, v in self.labels.items()})
        except OSError as error:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} could not be written: {error}. The run goes on, and an"
                " older file stays as it is.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.next = time.monotonic() + self.every


def labels_of(o: Mapping[str, Any], data: Any, **labels: Any) -> dict[str, str]:
    """Return what a checkpoint is of: `labels`, and a digest of the data if the options ask for it."""
    named = {name: str(value) for name, value in labels.items()}
    return named | ({"data": digest_of(data)} if o["checkpoint_digest"] else {})


def checkpoint_of(o: Mapping[str, Any], labels: Mapping[str, str]) -> Checkpoint | None:
    """Return the checkpoint that the options ask for."""
    if o["checkpoint"] is None:
        return None
    return Checkpoint(o["checkpoint"], o["checkpoint_every"], labels)


def state_of(o: Mapping[str, Any], labels: Mapping[str, str]) -> Any:
    """Return the state that the options say to go on from."""
    if o["resume"] is None:
        return o["state"]
    if o["state"] is not None:
        raise ValueError("`resume` and `state` both say what to go on from; give one of them.")
    return read(o["resume"], labels)


def file_of(path: Any) -> Path:
    """Return a path as a file's, with the suffix that `numpy.savez` adds as well."""
    file = Path(path)
    return file if file.suffix == ".npz" else file.with_name(f"{file.name}.npz")


def of_rank(path: Any, rank: int) -> Path | None:
    """Return the file of a rank, each of which has one."""
    if path is None:
        return None
    file = file_of(path)
    return file.with_name(f"{file.stem}.{rank}{file.suffix}")


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state to a file, which is the old one or the new one at any time.

    Raises
    ------
    OSError
        If it cannot be written; the old file is as it was.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        with open(beside, "w+b") as file:
            np.savez(file, **{"version": VERSION, **state})
            with zipfile.ZipFile(file, "a") as archive:
                archive.comment = b"0" * DIGITS
            length = file.seek(0, os.SEEK_END) - DIGITS
            digits = checksum(file, length)
            file.seek(length)
            file.write(digits)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    with suppress(OSError, AttributeError):  # folders are not synchronised everywhere
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Any, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the state in a file, numbers and texts as Python has them.

    Raises
    ------
    CheckpointError
        If there is none, or not of a run with these labels.
    """
    file = file_of(path)
    try:
        state = _read(file)
    except CheckpointError:
        raise
    except Exception as error:  # of a file that is whole, but no archive of ours
        raise CheckpointError(
            f"{str(file)!r} is no checkpoint that can be read: {error}"
        ) from error
    given = {
        name.removeprefix("label."): state.pop(name) for name in list(state) if name[:6] == "label."
    }
    for name in sorted(labels):
        if given.get(name) != labels.get(name):
            raise CheckpointError(
                f"{str(file)!r} is a checkpoint of another problem: {name} is {given.get(name)!r} there, and"
                f" {labels.get(name)!r} here."
            )
    return state


def _read(file: Path) -> dict[str, Any]:
    try:
        with open(file, "rb") as stream:
            length = stream.seek(0, os.SEEK_END) - DIGITS
            if length < 0 or checksum(stream, length) != stream.read():
                raise CheckpointError(
                    f"{str(file)!r} is damaged, or no checkpoint: its checksum is not that of its contents."
                )
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                version = plain(archive["version"])
                if version > VERSION:
                    raise CheckpointError(
                        f"{str(file)!r} is of version {version}, and this adamnb reads up to"
                        f" {VERSION}: take a newer one."
                    )
                return {name: plain(archive[name]) for name in archive.files if name != "version"}
    except OSError as error:
        raise CheckpointError(f"{str(file)!r} cannot be read: {error}") from error


def checksum(file: Any, length: int) -> bytes:
    """Return the checksum of the first bytes of a file, which is left where they end."""
    digest, left = hashlib.sha256(), length
    file.seek(0)
    while left > 0 and (piece := file.read(min(PIECE, left))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest().encode()


def digest_of(values: Any) -> str:
    """Return a digest of data: of arrays, numbers, texts, and tuples, lists and dicts of them.

    Raises
    ------
    TypeError
        For what is none of them.
    """
    digest = hashlib.sha256()
    _take_in(digest, values)
    return digest.hexdigest()


def _take_in(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, tuple | list):
        digest.update(f"{len(value)} of".encode())
        for one in value:
            _take_in(digest, one)
        return
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(
            "`checkpoint_digest` needs `args` and `data` that are arrays, numbers and texts; got"
            f" {type(value).__name__}."
        )
    digest.update(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
