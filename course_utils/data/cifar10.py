"""Fetching CIFAR-10, patiently: its host is often slow and drops connections.

Nothing here runs unless the reader asks for a download. What has arrived is kept in a `.part` file
and the next try, or the next call, goes on from there.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch

from course_utils.data.npz import write_npz
from course_utils.data.sets import DataError, ImageSet

_CHUNK = 2**16  # bytes at a time
_SLOWEST = 1024  # bytes per second; below this for a whole time-out, the host counts as silent


def download_cifar10(folder: Path | str, *, timeout: float = 30.0, progress: bool = True) -> Path:
    """Fetch CIFAR-10 (Krizhevsky 2009) and keep it as `cifar10.npz` in `folder`; return that file.

    Address, checksums and unpacking are torchvision's. A `cifar10.npz` that is there already stays
    as it is.

    Args:
        folder: Made if need be. Some 600 MB are needed on the way, 184 MB in the end.
        timeout: Seconds to wait for an answer, and for the next bytes.
        progress: Whether to show a progress bar.

    Raises:
        DataError: If it could not be fetched. What has arrived is kept for the next call.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import extract_archive

    folder = Path(folder).expanduser()
    target = folder / "cifar10.npz"
    if target.exists():
        return target
    archive = download_file(
        CIFAR10.url,
        folder / CIFAR10.filename,
        md5=CIFAR10.tgz_md5,
        timeout=timeout,
        progress=progress,
    )
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="cifar10-") as unpacked:
            extract_archive(str(archive), unpacked)
            parts = [CIFAR10(unpacked, train=train) for train in (True, False)]
            write_npz(target, *map(_as_image_set, parts))
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise DataError(
            f"CIFAR-10 has arrived as {archive}, but could not be unpacked: {error}"
        ) from error
    archive.unlink()
    return target


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
    """Fetch `url` to `path`, which appears only whole and with the right checksum.

    Args:
        url: http or https.
        path: A file that is there already is checked, never written over.
        md5: Checksum of the file, in hexadecimal.
        timeout: Seconds to wait for an answer and for the next bytes. There is no limit on the
            whole, as long as more than 1 kB a second keeps coming.
        attempts: How many tries in a row may bring next to nothing before it gives up.
        pause: Seconds before the second try; each further one waits as much longer.
        progress: Whether to show a progress bar.

    Raises:
        DataError: If the host does not answer, stops, or sends something else. Except in that last
            case, what has arrived stays in `<path>.part` and the next call goes on from there.
    """
    path = Path(path)
    if path.exists():
        if _md5(path) != md5:
            raise DataError(f"{path} is not what {url} should give: move it away and call again.")
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise DataError(f"{path.parent} cannot be written to: {error.strerror}.") from error

    failures = 0
    while True:
        before = part.stat().st_size
        try:
            _receive(url, part, timeout, progress)
            break
        except (OSError, http.client.HTTPException) as error:
            arrived = part.stat().st_size
            failures = failures + 1 if arrived < before + _CHUNK else 0
            if failures >= attempts or _is_final(error):
                raise DataError(_stopped(url, part, arrived, error)) from error
            time.sleep(pause * failures)
    if _md5(part) != md5:
        part.unlink()
        raise DataError(
            f"{_host(url)} sent something else than {path.name}: its checksum is wrong, so it was "
            "thrown away. Call again; if it stays so, something on the way to the host is at fault."
        )
    os.replace(part, path)
    return path


def _receive(url: str, part: Path, timeout: float, progress: bool) -> None:
    """Append to `part` what it still lacks, or begin anew if the host cannot go on from there."""
    from tqdm.auto import tqdm

    have = part.stat().st_size
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return  # nothing lies beyond what is here; the checksum says whether it is right
        raise
    with response:
        if response.status == 206:
            begin, total = _content_range(response)
            if begin != have:
                part.write_bytes(b"")
                raise http.client.HTTPException(f"it sent bytes from {begin}, not from {have}")
        else:
            have, total = 0, int(response.headers.get("Content-Length") or 0)
        bar = tqdm(
            total=total or None,
            initial=have,
            desc=part.stem,
            unit="B",
            unit_scale=True,
            disable=not progress,
        )
        with bar, part.open("ab" if have else "wb") as file:
            arrived, marked, since = have, have, time.monotonic()
            # read1 gives what is there; read would wait for a full chunk, from a trickle for ever.
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
    except OSError as error:  # a full disk: no use in trying again
        raise DataError(f"{file.name} cannot be written: {error.strerror}.") from error


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int]:
    """First byte and length of the whole file (0 if it is not said)."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not match:
        return -1, 0
    return int(match[1]), 0 if match[2] == "*" else int(match[2])


def _is_final(error: Exception) -> bool:
    """Whether trying again is useless: the host knows what it is asked, and says no."""
    return isinstance(error, urllib.error.HTTPError) and error.code < 500


def _stopped(url: str, part: Path, arrived: int, error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        why = f"it answered {error.code} {error.reason}"
    elif isinstance(error, TimeoutError) or isinstance(
        getattr(error, "reason", None), TimeoutError
    ):
        why = "it is too slow or silent"
    else:
        why = str(getattr(error, "reason", "") or error) or type(error).__name__
    kept = (
        f"{arrived / 1e6:.1f} MB have arrived and are kept: call again to go on from there."
        if arrived
        else "Nothing has arrived: try again later, or put the file there from another computer."
    )
    return f"The download of {part.stem} from {_host(url)} stopped ({why}). {kept}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        # The host gives no better checksum; it guards against accidents, not against attackers.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
