from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import os
import pickle
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from course_utils.data import DataError, load_dataset, read_npz
from course_utils.data import cifar10 as downloads
from course_utils.data import load as data_module
from course_utils.data.cifar10 import download_cifar10, download_file
from tests.processes import as_nobody

CONTENT = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Host:
    """A host on this machine, with the faults that a test chooses."""

    content: bytes = CONTENT
    ranges: bool = True  # whether it obeys the Range header
    wrong_range: bool = False  # whether it sends other bytes than the Range header says
    status: int | None = None  # an error that it answers with
    break_after: list[int] = field(default_factory=list)  # bytes before it hangs up, each time
    silent_after: int | None = None  # bytes after which it sends nothing more
    no_length: bool = False  # whether it does not say the length
    asked: list[str | None] = field(default_factory=list)  # the Range headers it got
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host, asked = self.server.host, self.headers.get("Range")
        host.asked.append(asked)
        if host.status:
            self.send_error(host.status)
            return
        begin, total = 0, len(host.content)
        if asked and host.ranges:
            begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if begin >= total:
                self.send_response(416)
                self.end_headers()
                return
            begin = 5 if host.wrong_range else begin
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        else:
            self.send_response(200)
        if not host.no_length:
            self.send_header("Content-Length", str(total - begin))
        self.end_headers()
        count = host.break_after.pop(0) if host.break_after else host.silent_after
        self.wfile.write(host.content[begin:][:count])
        if host.silent_after is not None:
            host.ended.wait()

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        pass  # the client has hung up, as it should


@pytest.fixture
def host(monkeypatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.host = host = Host(url=f"http://127.0.0.1:{server.server_port}/file.tar.gz")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield host
        host.ended.set()
        server.shutdown()
        thread.join()


def fetch(host: Host, path: Path, **settings) -> Path:
    settings = {"md5": MD5, "timeout": 120.0, "pause": 0.0, "progress": False, **settings}
    return download_file(host.url, path, **settings)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "new" / "file.tar.gz"


def files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_plain_download_is_fetched_once(host, path):
    assert fetch(host, path) == path
    fetch(host, path)
    assert path.read_bytes() == CONTENT and files(path) == ["file.tar.gz"]
    assert host.asked == [None]


def test_another_file_in_its_place_is_left_alone(host, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"somebody's work")
    with pytest.raises(DataError, match="checksum is different"):
        fetch(host, path)
    with pytest.raises(DataError, match=r"folder .* cannot be used"):
        fetch(host, path / "x")
    assert path.read_bytes() == b"somebody's work" and host.asked == []


@pytest.mark.parametrize(
    ("faults", "begins"),
    [
        ({"break_after": [100_000, 300_000, 70_000]}, [100_000, 400_000, 470_000]),
        ({"break_after": [400_000], "ranges": False}, [400_000]),
        ({"break_after": [400_000], "wrong_range": True}, [400_000, None]),
        ({"no_length": True}, []),
    ],
)
def test_a_faulty_host_is_asked_for_the_rest(host, path, faults, begins):
    vars(host).update(faults)
    fetch(host, path, attempts=2)
    assert path.read_bytes() == CONTENT
    assert host.asked == [None, *(begin and f"bytes={begin}-" for begin in begins)]


def test_a_later_call_goes_on_from_the_part(host, path):
    host.break_after = [600_000, 0, 0]
    with pytest.raises(DataError, match=r"the connection broke.* 0\.6 MB have arrived"):
        fetch(host, path, attempts=2)
    assert files(path) == ["file.tar.gz.part"]
    assert host.asked == [None, "bytes=600000-", "bytes=600000-"]
    fetch(host, path)
    assert host.asked[3:] == ["bytes=600000-"]
    assert path.read_bytes() == CONTENT and files(path) == ["file.tar.gz"]
    path.rename(path.with_name("file.tar.gz.part"))
    fetch(host, path)  # all has arrived already
    assert path.read_bytes() == CONTENT and host.asked[4:] == ["bytes=1000000-"]


@pytest.mark.parametrize("left", [0, 400_000, 1_000_001])
def test_a_wrong_checksum_leaves_nothing(host, path, left):
    path.parent.mkdir()
    if left:
        path.with_name("file.tar.gz.part").write_bytes(bytes(left))
    else:
        host.content = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match="its checksum is wrong"):
        fetch(host, path)
    assert files(path) == []
    host.content = CONTENT
    fetch(host, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("silent_after", [0, 10_000])
def test_a_silent_host_is_given_up(host, path, silent_after):
    host.silent_after = silent_after
    with pytest.raises(DataError, match="too slow or sends nothing"):
        fetch(host, path, timeout=0.1, attempts=1)
    assert not path.exists()


def test_a_host_that_falls_silent_now_and_then_is_asked_for_the_rest(host, path, monkeypatch):
    def read1(answer: http.client.HTTPResponse, size: int) -> bytes:
        answer.left = getattr(answer, "left", 400_000)
        if not answer.left:
            raise TimeoutError
        chunk = answer.read(min(size, answer.left))
        answer.left -= len(chunk)
        return chunk

    monkeypatch.setattr(http.client.HTTPResponse, "read1", read1)
    fetch(host, path, attempts=1)
    assert host.asked == [None, "bytes=400000-", "bytes=800000-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("too_slow", [False, True])
def test_only_a_host_that_is_too_slow_is_given_up(host, path, monkeypatch, too_slow):
    class Clock:
        now = 0.0
        sleep = staticmethod(lambda _: None)
        monotonic = staticmethod(lambda: Clock.now)

    def read1(answer: http.client.HTTPResponse, _size: int) -> bytes:
        Clock.now += 1
        return answer.read(downloads._SLOWEST // 2 if too_slow else downloads._SLOWEST * 2)

    monkeypatch.setattr(http.client.HTTPResponse, "read1", read1)
    monkeypatch.setattr(downloads, "time", Clock)
    host.content = CONTENT[:100_000]
    md5 = hashlib.md5(host.content).hexdigest()
    with pytest.raises(DataError, match="too slow") if too_slow else nullcontext():
        fetch(host, path, timeout=10, attempts=1, md5=md5)
    assert path.exists() != too_slow
    assert host.asked == [None]


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (503, 3)])
def test_only_a_busy_host_is_asked_again(host, path, status, asked):
    host.status = status
    with pytest.raises(DataError, match=rf"127\.0\.0\.1 .*{status}"):
        fetch(host, path, attempts=3)
    assert len(host.asked) == asked


def test_no_host_at_all(host, path):
    with socket.socket() as closed:  # bound, but it does not listen
        closed.bind(("127.0.0.1", 0))
        host.url = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
        with pytest.raises(DataError, match=r"127\.0\.0\.1 .* Nothing has arrived"):
            fetch(host, path, attempts=1)


def test_a_full_disk_is_not_a_broken_connection():
    class Full(io.BytesIO):
        name = "file.part"

        def write(self, chunk: bytes) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"file\.part cannot be written: No space left"):
        downloads._write(Full(), b"x")


def test_the_progress_bar_counts_bytes(host, path):
    host.break_after = [300_000]
    with mock.patch("tqdm.auto.tqdm") as bar:
        fetch(host, path, progress=True)
    settings = [call.kwargs for call in bar.call_args_list]
    assert [one["initial"] for one in settings] == [0, 300_000]
    assert {(one["total"], one["disable"]) for one in settings} == {(1_000_000, False)}
    updates = bar.return_value.update.call_args_list
    assert sum(call.args[0] for call in updates) == 1_000_000


# CIFAR-10


def pickled_cifar10() -> tuple[bytes, dict[str, str]]:
    """Return an archive of CIFAR-10 with 100 one-coloured pictures a part, and its checksums."""
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch", "batches.meta"]
    classes = list(data_module._KNOWN["cifar10"].classes)
    archive, sums = io.BytesIO(), {}
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for number, name in enumerate(names):
            # Red is the label, green the file, blue is 7: one plane after the other.
            labels = np.arange(100) % 10
            planes = np.stack([labels, np.full(100, number), np.full(100, 7)], axis=1)
            data = np.repeat(planes.astype(np.uint8), 1024, axis=1)
            entry = {"data": data, "labels": labels.tolist()}
            content = pickle.dumps({"label_names": classes} if "meta" in name else entry)
            sums[name] = hashlib.md5(content).hexdigest()
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue(), sums


@pytest.fixture
def cifar10_host(host, monkeypatch, tmp_path) -> Host:
    """A host for torchvision's CIFAR-10, with an archive that looks like the real one."""
    from torchvision.datasets import CIFAR10

    host.content, sums = pickled_cifar10()
    monkeypatch.setattr(CIFAR10, "url", host.url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(host.content).hexdigest())
    for parts in ("train_list", "test_list"):
        names = [[name, sums[name]] for name, _ in getattr(CIFAR10, parts)]
        monkeypatch.setattr(CIFAR10, parts, names)
    monkeypatch.setitem(CIFAR10.meta, "md5", sums["batches.meta"])
    small = dataclasses.replace(data_module._KNOWN["cifar10"], per_class=(50, 10))
    monkeypatch.setitem(data_module._KNOWN, "cifar10", small)
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    return host


def test_cifar10_is_fetched_converted_and_kept(cifar10_host, tmp_path):
    data = load_dataset("cifar10", download=True)
    assert data.source == "download"
    assert data.image_shape == (3, 32, 32)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["cifar10.npz"]

    train, test = read_npz(tmp_path / "cache" / "cifar10.npz")
    assert train.labels.tolist() == [i % 10 for i in range(500)]
    red, green, blue = train.images.unbind(1)
    assert torch.equal(red[:, 31, 0].long(), train.labels)
    assert torch.equal(green[:, 0, 31].long(), torch.arange(500) // 100)
    assert (blue == 7).all()
    assert (test.images[:, 1] == 5).all()

    (asked,) = cifar10_host.asked
    assert load_dataset("cifar10", download=True).source == "cache"
    assert cifar10_host.asked == [asked]


@pytest.mark.parametrize(
    ("md5", "text", "files"),
    [("0", "checksum is wrong", []), (MD5, "cannot be unpacked", ["cifar-10-python.tar.gz"])],
)
def test_a_wrong_cifar10_archive_is_a_sentence(host, monkeypatch, tmp_path, md5, text, files):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", host.url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5)
    with pytest.raises(DataError, match=rf"cifar-10-python\.tar\.gz.*{text}"):
        download_cifar10(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == files


def test_an_archive_that_claims_too_much_is_refused_from_its_headers(cifar10_host, tmp_path):
    from torchvision.datasets import CIFAR10

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in "ab":
            info = tarfile.TarInfo(name)
            info.size = 2 * 10**9 if name == "b" else 0
            tar.addfile(info)
    cifar10_host.content = content.getvalue()
    md5 = mock.patch.object(CIFAR10, "tgz_md5", hashlib.md5(content.getvalue()).hexdigest())
    with md5, pytest.raises(DataError, match=r"more than 250 MB.*nothing was unpacked"):
        download_cifar10(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


@pytest.mark.parametrize("name", ["file.tar.gz", "file.tar.gz.part"])
def test_a_pipe_in_its_place_does_not_block(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is a pipe"):
        download_file("http://127.0.0.1:1/file.tar.gz", tmp_path / "file.tar.gz", md5=MD5)


def test_a_home_that_cannot_be_written_says_what_to_set(tmp_path):
    def fetch_there() -> None:
        with pytest.raises(DataError, match=r"Permission denied.*COURSE_CACHE_DIR"):
            download_cifar10(tmp_path / "cache")

    tmp_path.chmod(0o500)
    assert as_nobody(fetch_there) == 0


def test_an_existing_cifar10_is_not_changed(tmp_path):
    (tmp_path / "cifar10.npz").write_bytes(b"anything")
    assert download_cifar10(tmp_path) == tmp_path / "cifar10.npz"
    assert (tmp_path / "cifar10.npz").read_bytes() == b"anything"
