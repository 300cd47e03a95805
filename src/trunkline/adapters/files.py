"""Files that appear whole or not at all, with the right mode from their first byte.

Owns the order: everything beside its target, everything on the disk, then the renames. Whoever is interrupted leaves
the live files as they were, and at most siblings that the next run takes away. What is in the files, and whether it is
right, is decided before (`trunkline.agent.configuration`).
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trunkline.errors import HAProxyError
from trunkline.model.desired import RenderedFile

SIBLING = ".{name}.trunkline-new"
LOCK_TIMEOUT_S, LOCK_POLL_S = 5.0, 0.02


def differing(files: Iterable[RenderedFile]) -> tuple[RenderedFile, ...]:
    """Those that are not on disk as they should be, text and mode; what cannot be read differs."""
    return tuple(file for file in files if not _is_in_place(file))


def current(files: Iterable[RenderedFile]) -> tuple[RenderedFile, ...]:
    """What is on disk in their places now; one that is missing is left out."""
    return tuple(
        RenderedFile(path=file.path, text=text, mode=file.mode)
        for file in files
        if (text := read_text(Path(file.path))) is not None
    )


def read_text(path: Path) -> str | None:
    """The text of a file; None where there is none. Bytes that are no UTF-8 are shown as such."""
    try:
        return path.read_bytes().decode(errors="backslashreplace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", path, error) from None


def install(files: Iterable[RenderedFile]) -> tuple[RenderedFile, ...]:
    """Put the files in place, in their order; returns those that were not in place already.

    A target that is a link stays one: what it leads to is replaced.
    """
    wanted = tuple(files)
    with _alone_in({Path(os.path.realpath(file.path)).parent for file in wanted}):
        for file in wanted:
            _sibling(file).unlink(missing_ok=True)  # left behind by a run that was killed
        changed = differing(wanted)
        try:
            for file in changed:
                write_new(_sibling(file), file.text, file.mode)
            for file in changed:
                _sibling(file).replace(os.path.realpath(file.path))
            for directory in sorted({_sibling(file).parent for file in changed}):
                _sync(directory)
        except OSError as error:
            for file in changed:
                with suppress(OSError):
                    _sibling(file).unlink(missing_ok=True)
            raise _cannot("write", Path(str(error.filename or wanted[0].path)), error) from None
    return changed


def write_new(path: Path, text: str, mode: int) -> None:
    """A file that was not there, on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(_bytes(text))
        file.flush()
        os.fsync(descriptor)


def write_private(path: Path, text: str) -> None:
    """One small file of our own (0600), replaced as a whole."""
    install([RenderedFile(path=str(path), text=text, mode=0o600)])


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Whether we alone hold this file; the kernel lets go of it however we end. The file stays."""
    with _kept_open(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield True


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Alone with this file, after whoever was first; for reading, changing and writing. The file stays."""
    with _kept_open(path) as descriptor:
        _take(descriptor, path.parent)
        yield


@contextmanager
def _kept_open(path: Path) -> Iterator[int]:
    """The descriptor of this file, made where there is none; what is held through it is let go of at the end."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot("write", path, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _alone_in(directories: Iterable[Path]) -> Iterator[None]:
    """Two runs of ours follow each other."""
    descriptors: list[int] = []
    try:
        try:
            for directory in sorted(directories):
                descriptors.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                _take(descriptors[-1], directory)
        except OSError as error:
            raise _cannot("write into", directory, error) from None
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _take(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise HAProxyError(
                    f"another trunkline has been writing into {directory} for {LOCK_TIMEOUT_S:g} s",
                    hint="is one of them stopped?",
                ) from None
            time.sleep(LOCK_POLL_S)


def _is_in_place(file: RenderedFile) -> bool:
    try:
        path = Path(file.path)
        return path.read_bytes() == _bytes(file.text) and path.stat().st_mode & 0o7777 == file.mode
    except OSError:
        return False


def _bytes(text: str) -> bytes:
    """A member's name may hold half of a surrogate pair, which JSON can carry and UTF-8 cannot."""
    return text.encode(errors="backslashreplace")


def _sibling(file: RenderedFile) -> Path:
    target = Path(os.path.realpath(file.path))
    return target.with_name(SIBLING.format(name=target.name))


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot(what: str, path: Path, error: OSError) -> HAProxyError:
    hint = "run as root, or name other paths in the settings" if isinstance(error, PermissionError) else ""
    return HAProxyError(f"cannot {what} {path}: {error.strerror or error}", hint=hint)
