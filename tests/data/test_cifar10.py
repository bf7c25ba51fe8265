from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.data import cifar10 as downloads
from course_utils.data import load as data_module
from course_utils.data.cifar10 import download_cifar10, download_file
from course_utils.data.load import load_dataset
from course_utils.data.npz import read_npz
from course_utils.data.sets import DataError

CONTENT = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Host:
    """A host on this machine, with the weaknesses that a test gives it."""

    content: bytes = CONTENT
    ranges: bool = True  # whether it heeds the Range header
    wrong_range: bool = False  # whether it sends other bytes than those it was asked for
    status: int | None = None  # an error that it answers with
    break_after: list[int] = field(default_factory=list)  # bytes sent before it hangs up, each time
    silent_after: int | None = None  # bytes after which it says nothing more
    trickle: bool = False  # whether it sends a byte now and then
    no_length: bool = False  # whether it keeps the length for itself
    asked: list[str | None] = field(default_factory=list)  # the Range headers it got
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


def handler_of(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            host.asked.append(asked)
            if host.status:
                self.send_error(host.status)
                return
            begin, total = 0, len(host.content)
            if asked and host.ranges:
                begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
                if begin >= total:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{total}")
                    self.end_headers()
                    return
                begin = 5 if host.wrong_range else begin
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
            else:
                self.send_response(200)
            body = host.content[begin:]
            if not host.no_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.send(body)

        def send(self, body: bytes) -> None:
            if host.trickle:
                for place in range(len(body)):
                    self.wfile.write(body[place : place + 1])
                    if host.ended.wait(0.02):
                        return
            if host.silent_after is not None:
                self.wfile.write(body[: host.silent_after])
                host.ended.wait(20)
                return
            self.wfile.write(body[: host.break_after.pop(0)] if host.break_after else body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def host(monkeypatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    host = Host()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass  # the client hung up, as it should

    server = Quiet(("127.0.0.1", 0), handler_of(host))
    host.url = f"http://127.0.0.1:{server.server_port}/file.tar.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    host.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(host: Host, path: Path, **settings) -> Path:
    settings = {"md5": MD5, "timeout": 5.0, "pause": 0.0, "progress": False, **settings}
    return download_file(host.url, path, **settings)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "new" / "file.tar.gz"


def files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_plain_download(host, path):
    assert fetch(host, path) == path
    assert path.read_bytes() == CONTENT
    assert files(path) == ["file.tar.gz"]
    assert host.asked == [None]


def test_what_is_there_is_not_fetched_again(host, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    fetch(host, path)
    assert host.asked == []


def test_another_file_in_its_place_is_left_alone(host, path):
    path.parent.mkdir()
    path.write_bytes(b"somebody's work")
    with pytest.raises(DataError, match="move it away"):
        fetch(host, path)
    assert path.read_bytes() == b"somebody's work"
    assert host.asked == []


def test_broken_connections_are_taken_up_where_they_broke(host, path):
    host.break_after = [100_000, 300_000, 70_000]
    fetch(host, path, attempts=1)
    assert path.read_bytes() == CONTENT
    assert host.asked == [None, "bytes=100000-", "bytes=400000-", "bytes=470000-"]


def test_a_later_call_goes_on_from_the_part(host, path):
    host.break_after = [600_000, 0, 0]
    with pytest.raises(DataError, match=r"stopped \(the connection broke\)\. 0\.6 MB have arrived"):
        fetch(host, path, attempts=2)
    assert files(path) == ["file.tar.gz.part"]
    assert host.asked == [None, "bytes=600000-", "bytes=600000-"]
    fetch(host, path)
    assert host.asked[3:] == ["bytes=600000-"]
    assert path.read_bytes() == CONTENT
    assert files(path) == ["file.tar.gz"]


def test_a_whole_part_needs_no_more_bytes(host, path):
    path.parent.mkdir()
    path.with_name("file.tar.gz.part").write_bytes(CONTENT)
    fetch(host, path)
    assert path.read_bytes() == CONTENT


def test_a_host_that_ignores_range_is_read_from_the_start(host, path):
    host.ranges = False
    host.break_after = [400_000]
    fetch(host, path)
    assert host.asked == [None, "bytes=400000-"]
    assert path.read_bytes() == CONTENT


def test_a_host_that_sends_another_range_is_asked_for_the_whole(host, path):
    host.wrong_range = True
    host.break_after = [400_000]
    fetch(host, path)
    assert host.asked == [None, "bytes=400000-", None]
    assert path.read_bytes() == CONTENT


def test_a_host_that_does_not_say_the_length(host, path):
    host.no_length = True
    fetch(host, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("left", [0, 400_000, 1_000_001])
def test_a_wrong_checksum_leaves_nothing(host, path, left):
    path.parent.mkdir()
    if left:
        path.with_name("file.tar.gz.part").write_bytes(bytes(left))
    elif not left:
        host.content = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match="its checksum is wrong, so it was thrown away"):
        fetch(host, path)
    assert files(path) == []
    host.content = CONTENT
    fetch(host, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("silent_after", [0, 10_000])
def test_a_silent_host_is_given_up(host, path, silent_after):
    host.silent_after = silent_after
    start = time.monotonic()
    with pytest.raises(DataError, match="too slow or silent"):
        fetch(host, path, timeout=0.3, attempts=1)
    assert time.monotonic() - start < 60
    assert not path.exists()


def test_a_host_that_falls_silent_now_and_then_is_asked_for_the_rest(host, path):
    host.silent_after = 400_000
    fetch(host, path, timeout=2, attempts=1)
    assert host.asked == [None, "bytes=400000-", "bytes=800000-"]
    assert path.read_bytes() == CONTENT


def test_a_trickle_is_given_up(host, path):
    host.trickle = True
    start = time.monotonic()
    with pytest.raises(DataError, match="too slow or silent"):
        fetch(host, path, timeout=0.5, attempts=1)
    assert time.monotonic() - start < 60


def test_a_slow_host_that_keeps_sending_is_not_given_up(host, path, monkeypatch):
    host.trickle = True
    host.content = CONTENT[:40]
    monkeypatch.setattr(downloads, "_SLOWEST", 1)
    fetch(host, path, timeout=2, md5=hashlib.md5(host.content).hexdigest())
    assert path.read_bytes() == host.content
    assert host.asked == [None]


def test_a_refusal_is_not_asked_for_again(host, path):
    host.status = 404
    with pytest.raises(DataError, match=r"127\.0\.0\.1 stopped \(it answered 404 Not Found\)"):
        fetch(host, path)
    assert host.asked == [None]


def test_a_busy_host_is_asked_again(host, path):
    host.status = 503
    with pytest.raises(DataError, match="answered 503"):
        fetch(host, path, attempts=3)
    assert len(host.asked) == 3


def test_no_host_at_all(path):
    with pytest.raises(DataError, match=r"from host\.invalid stopped .* Nothing has arrived"):
        download_file("http://host.invalid/x", path, md5=MD5, attempts=1, progress=False)


def test_a_folder_that_cannot_be_made(host, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="cannot be written to"):
        fetch(host, tmp_path / "file" / "x")


def test_a_full_disk_is_no_broken_connection(host, path):
    class Full(io.BytesIO):
        name = "file.part"

        def write(self, chunk: bytes) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"file\.part cannot be written: No space left"):
        downloads._write(Full(), b"x")


def test_the_progress_bar_counts_bytes(host, path, monkeypatch):
    import tqdm.auto

    made = []

    class Bar:
        def __init__(self, **settings: object) -> None:
            self.settings, self.count = settings, settings["initial"]
            made.append(self)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *args: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.count += count

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    host.break_after = [300_000]
    fetch(host, path, progress=True)
    assert [bar.settings["initial"] for bar in made] == [0, 300_000]
    assert [bar.count for bar in made] == [300_000, 1_000_000]
    assert {bar.settings["total"] for bar in made} == {1_000_000}
    assert not made[0].settings["disable"]


# CIFAR-10


def pickled_cifar10() -> tuple[bytes, dict[str, str]]:
    """A small CIFAR-10 archive as its host packs it, each picture in one colour; the checksums.

    100 pictures in each part in place of 10,000.
    """
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch", "batches.meta"]
    classes = list(data_module._KNOWN["cifar10"].classes)
    archive, sums = io.BytesIO(), {}
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for number, name in enumerate(names):
            # Red is the label, green the file, blue is 7: one plane after the other.
            labels = np.arange(100) % 10
            planes = np.stack([labels, np.full(100, number), np.full(100, 7)], axis=1)
            entry = {
                "data": np.repeat(planes.astype(np.uint8), 1024, axis=1),
                "labels": labels.tolist(),
            }
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
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    small = dataclasses.replace(data_module._KNOWN["cifar10"], per_class=(50, 10))
    monkeypatch.setitem(data_module._KNOWN, "cifar10", small)
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
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
    assert cifar10_host.asked == [asked], "asked once"


def test_a_wrong_cifar10_archive_leaves_nothing(host, monkeypatch, tmp_path):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", host.url)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: its checksum is wrong"):
        download_cifar10(tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_archive_that_cannot_be_unpacked_is_a_sentence(host, monkeypatch, tmp_path):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", host.url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", MD5)
    with pytest.raises(DataError, match="could not be unpacked"):
        download_cifar10(tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [CIFAR10.filename]


def test_a_cifar10_that_is_there_stays_as_it_is(host, monkeypatch, tmp_path):
    (tmp_path / "cifar10.npz").write_bytes(b"anything")
    assert download_cifar10(tmp_path) == tmp_path / "cifar10.npz"
    assert (tmp_path / "cifar10.npz").read_bytes() == b"anything"
