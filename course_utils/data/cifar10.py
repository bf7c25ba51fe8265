"""Download CIFAR-10 from a host that is often slow and drops connections.

Nothing here runs unless the reader asks for a download. The bytes received so far are kept in a
`.part` file, and the next attempt or the next call continues from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch

from course_utils.core import file_exists, reason_of
from course_utils.data.npz import write_npz
from course_utils.data.sets import DataError, ImageSet

_CHUNK = 2**16  # bytes at a time
_LARGEST = 250_000_000  # bytes of all files in the archive of CIFAR-10, which has 186 million
_SLOWEST = 1024  # bytes per second; a host that is slower for a whole time-out is given up


def download_cifar10(folder: Path | str) -> Path:
    """Download CIFAR-10 (Krizhevsky 2009) to `cifar10.npz` in `folder`; return that path.

    Address, checksums and unpacking are torchvision's. If `cifar10.npz` exists, it is not changed.

    Args:
        folder: It is made if it does not exist. It needs about 600 MB during the download and
            184 MB afterwards.

    Raises:
        DataError: If the download fails or cannot be unpacked. The bytes received so far are kept
            for the next call.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import extract_archive

    folder = Path(folder).expanduser()
    target = folder / "cifar10.npz"
    _make_folder(folder)
    if file_exists(target, DataError):
        return target
    archive = download_file(CIFAR10.url, folder / CIFAR10.filename, md5=CIFAR10.tgz_md5)
    try:
        _check_size(archive)
        with tempfile.TemporaryDirectory(dir=folder, prefix="cifar10-") as unpacked:
            extract_archive(str(archive), unpacked)
            parts = [CIFAR10(unpacked, train=train) for train in (True, False)]
            write_npz(target, *map(_as_image_set, parts))
    except (OSError, RuntimeError, EOFError, zlib.error, tarfile.TarError) as error:
        text = f"CIFAR-10 was downloaded to {archive}, but cannot be unpacked: {error}"
        raise DataError(text) from error
    with contextlib.suppress(OSError):
        archive.unlink()
    return target


def _check_size(archive: Path) -> None:
    """Raise an error if the files in `archive` claim to be larger than those of CIFAR-10."""
    claimed = 0
    with tarfile.open(archive) as content:
        for member in content:  # reads only the headers
            claimed += member.size
            if claimed > _LARGEST:
                raise DataError(
                    f"The files in {archive} claim more than {_LARGEST / 1e6:.0f} MB, but CIFAR-10 "
                    "has 186 MB: nothing was unpacked. Delete the archive and call again."
                )


def _as_image_set(part) -> ImageSet:
    images = torch.from_numpy(np.ascontiguousarray(part.data)).permute(0, 3, 1, 2)
    return ImageSet(images, torch.tensor(part.targets), tuple(part.classes))


def download_file(
    url: str,
    path: Path | str,
    *,
    md5: str,
    timeout: float = 30.0,
    attempts: int = 4,
    pause: float = 1.0,
    progress: bool = True,
) -> Path:
    """Download `url` to `path`, which appears only when it is complete and its checksum is right.

    Args:
        path: If this file exists, it is checked, never overwritten.
        timeout: Seconds to wait for an answer and for the next bytes. The whole download has no
            time limit while more than 1 kB arrives each second.
        attempts: After this number of attempts in a row without progress the download stops.
        pause: Seconds before the second attempt; each further pause is longer by the same time.

    Raises:
        DataError: If the host does not answer, stops, or sends a wrong file. A wrong file is
            deleted; otherwise the bytes stay in `<path>.part`, and the next call continues there.
    """
    path = Path(path)
    _make_folder(path.parent)
    if file_exists(path, DataError):
        if _md5(path) != md5:
            raise DataError(
                f"{path} is not the file of {url}: its checksum is different. Move it to another "
                "place and call again."
            )
        return path
    part = path.with_name(path.name + ".part")
    file_exists(part, DataError)
    _make_folder(path.parent, part)

    failures = 0  # attempts in a row that brought less than one chunk
    while True:
        before = part.stat().st_size
        try:
            _receive(url, part, timeout=timeout, progress=progress)
            break
        except (OSError, http.client.HTTPException) as error:
            arrived = part.stat().st_size
            failures = failures + 1 if arrived < before + _CHUNK else 0
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if failures >= attempts or refused:
                raise DataError(_stopped(url, part, arrived, error)) from error
            time.sleep(pause * failures)
    if _md5(part) != md5:
        part.unlink()
        raise DataError(
            f"{_host(url)} sent a wrong file for {path.name}: its checksum is wrong, so it was "
            "deleted. Call again. If this happens each time, something between here and the host "
            "(a proxy, for example) changes the file."
        )
    os.replace(part, path)
    return path


def _make_folder(folder: Path, file: Path | None = None) -> None:
    """Make a folder, and an empty file in it if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file is not None:
            file.touch()
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be used ({reason_of(error)}): set the environment "
            "variable COURSE_CACHE_DIR to a folder where you may write."
        ) from error


def _receive(url: str, part: Path, *, timeout: float, progress: bool) -> None:
    """Append the missing bytes to `part`, or start again if the host cannot continue there."""
    from tqdm.auto import tqdm

    have = part.stat().st_size
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return  # the host has no more bytes; the checksum says whether the file is right
        raise
    with response:
        if response.status == 206:
            begin, total = _content_range(response)
            if begin != have:
                part.write_bytes(b"")
                raise http.client.HTTPException(f"it sent bytes from {begin}, not from {have}")
        else:
            have, total = 0, int(response.headers.get("Content-Length") or 0)
        shown = {"total": total or None, "initial": have, "desc": part.stem, "unit": "B"}
        bar = tqdm(**shown, unit_scale=True, disable=not progress)
        with bar, part.open("ab" if have else "wb") as file:
            arrived = have
            marked, since = arrived, time.monotonic()  # the speed is measured from here
            # read1 returns what has arrived; read would wait until a whole chunk is there.
            while chunk := response.read1(_CHUNK):
                _write(file, chunk)
                arrived += len(chunk)
                bar.update(len(chunk))
                if (seconds := time.monotonic() - since) > timeout:
                    if arrived - marked < _SLOWEST * seconds:
                        raise TimeoutError(f"less than {_SLOWEST} bytes a second")
                    marked, since = arrived, time.monotonic()
    if arrived < total:
        raise ConnectionError("the connection broke")


def _write(file, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:  # for example a full disk: another attempt would not help
        raise DataError(f"{file.name} cannot be written: {error.strerror}.") from error


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int]:
    """Return the first byte and the length of the whole file (0 if the host does not say it)."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not match:
        return -1, 0
    return int(match[1]), 0 if match[2] == "*" else int(match[2])


def _stopped(url: str, part: Path, arrived: int, error: Exception) -> str:
    reason = getattr(error, "reason", "") or error
    if isinstance(error, urllib.error.HTTPError):
        why = f"it answered {error.code} {reason}"
    elif isinstance(reason, TimeoutError):
        why = "it is too slow or sends nothing"
    else:
        why = str(reason) or type(error).__name__
    if arrived:
        advice = f"{arrived / 1e6:.1f} MB have arrived and are kept: call again to continue."
    else:
        advice = "Nothing has arrived: try again later, or copy the file from another computer."
    return f"The download of {part.stem} from {_host(url)} stopped ({why}). {advice}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        # The host publishes no better checksum; MD5 finds accidents, but not attacks.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
