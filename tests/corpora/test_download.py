"""Downloads resume, are checked, and unpack whole or not at all: against a server that the test starts."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from phonaut.corpora import download as module
from phonaut.corpora.download import download, extract, fetch

CONTENT = bytes(range(256)) * 2000
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `content`; each request is cut after `cut_after` bytes; `requests` keeps the Range that was asked."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.cut_after: int | None = None
        self.cuts: list[int] = []  # of the first requests, before `cut_after` holds
        self.pause_s = 0.0  # after each 2000 bytes
        self.ranges = True
        self.states_length = True
        self.status: int | None = None
        self.requests: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.requests.append(asked)
                if outer.status:
                    self.send_error(outer.status)
                    return
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and outer.ranges else 0
                if start >= len(outer.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(outer.content)}")
                    self.end_headers()
                    return
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(outer.content) - 1}/{len(outer.content)}")
                if outer.states_length:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                body = body[: outer.cuts.pop(0) if outer.cuts else outer.cut_after]
                with contextlib.suppress(ConnectionError):  # the client left
                    for start in range(0, len(body), 2000 if outer.pause_s else len(body)):
                        self.wfile.write(body[start : start + (2000 if outer.pause_s else len(body))])
                        time.sleep(outer.pause_s)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/corpus.tar.gz"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def test_a_download_arrives_whole_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    path = download(server.url, tmp_path / "x", checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_md5_checksums_are_understood(server: Server, tmp_path: Path) -> None:
    download(server.url, tmp_path / "x", checksum="md5:" + hashlib.md5(CONTENT).hexdigest())
    assert (tmp_path / "x").read_bytes() == CONTENT
    with pytest.raises(ValueError, match="checksum"):
        download(server.url, tmp_path / "y", checksum="md5:" + hashlib.md5(b"other").hexdigest())


def test_a_connection_that_breaks_off_is_resumed_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut_after = 200_000
    download(server.url, tmp_path / "x", checksum=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.requests == [None, "bytes=200000-", "bytes=400000-"]


def test_an_interrupted_process_goes_on_from_its_part_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT[:300_001])
    download(server.url, tmp_path / "x", checksum=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.requests == ["bytes=300001-"]


def test_a_part_file_that_is_complete_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "x", checksum=SHA)
    assert len(server.requests) == 1


def test_a_part_file_that_is_too_long_is_started_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    download(server.url, tmp_path / "x", checksum=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_all_of_it(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "x.part").write_bytes(b"?" * 1000)
    download(server.url, tmp_path / "x", checksum=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_server_that_states_no_length_is_believed_and_the_checksum_judges(server: Server, tmp_path: Path) -> None:
    server.states_length = False
    download(server.url, tmp_path / "x", checksum=SHA)
    server.cut_after = 1000
    with pytest.raises(ValueError, match="in place of"):
        download(server.url, tmp_path / "y", checksum=SHA)


def test_a_wrong_checksum_is_refused_and_the_file_kept_aside(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(ValueError, match=r"kept as .*x\.wrong"):
        download(server.url, tmp_path / "x", checksum=SHA)
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "x.wrong").read_bytes() == server.content
    server.content = CONTENT
    assert download(server.url, tmp_path / "x", checksum=SHA).read_bytes() == CONTENT


def test_a_file_that_is_there_and_right_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    download(server.url, tmp_path / "x", checksum=SHA)
    assert server.requests == []


def test_a_server_that_sends_nothing_is_given_up_and_what_arrived_is_kept(server: Server, tmp_path: Path) -> None:
    server.cut_after = 0
    (tmp_path / "x.part").write_bytes(CONTENT[:1000])
    with pytest.raises(ConnectionError, match="the 1,000 bytes that arrived are kept"):
        download(server.url, tmp_path / "x", checksum=SHA)
    assert (tmp_path / "x.part").read_bytes() == CONTENT[:1000]
    assert len(server.requests) == module.ATTEMPTS


def test_failures_count_only_in_a_row(server: Server, tmp_path: Path) -> None:
    server.cuts = [*([0] * (module.ATTEMPTS - 1)), 1000] * 3
    assert download(server.url, tmp_path / "x", checksum=SHA).read_bytes() == CONTENT


def test_a_file_that_the_server_lacks_is_named_at_once(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(ValueError, match="404"):
        download(server.url, tmp_path / "x", checksum=SHA)
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(ConnectionError, match="503"):
        download(server.url, tmp_path / "x", checksum=SHA)
    assert len(server.requests) == module.ATTEMPTS


def test_only_http_is_spoken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="http"):
        download("file:///etc/passwd", tmp_path / "x", checksum=SHA)


def tar_of(members: dict[str, bytes | tuple[bytes, str]]) -> bytes:
    """A gzipped tar; a member is bytes, or (type, link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="unpacking a tar archive takes Python 3.11.4")
def test_a_corpus_is_fetched_unpacked_and_its_archive_removed(server: Server, tmp_path: Path) -> None:
    server.content = tar_of({"./bed/a_nohash_0.wav": b"1", "./LICENSE": b"2"})
    checksum = "sha256:" + hashlib.sha256(server.content).hexdigest()
    fetch(server.url, tmp_path / "data" / "words", checksum=checksum)
    assert (tmp_path / "data" / "words" / "bed" / "a_nohash_0.wav").read_bytes() == b"1"
    assert not (tmp_path / "data" / "corpus.tar.gz").exists()
    fetch(server.url, tmp_path / "kept" / "words", checksum=checksum, clear_download=False)
    assert (tmp_path / "kept" / "corpus.tar.gz").exists()


def test_a_folder_that_holds_something_is_never_overwritten(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("my thesis")
    with pytest.raises(ValueError, match="holds other things"):
        fetch(server.url, tmp_path, checksum=SHA)
    assert server.requests == []


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="unpacking a tar archive takes Python 3.11.4")
@pytest.mark.parametrize(
    "member",
    [
        {"../outside": b""},
        {"a/../../outside": b""},
        {"link": (tarfile.SYMTYPE, "../../outside")},
        {"f": (tarfile.CHRTYPE, "")},
    ],
)
def test_a_tar_that_reaches_outside_is_refused_and_nothing_is_left(tmp_path: Path, member: dict[str, bytes]) -> None:
    archive = tmp_path / "in" / "a.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(tar_of({"good.wav": b"1", **member}))
    with pytest.raises(ValueError, match="cannot be unpacked"):
        extract(archive, tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.tar.gz"]


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "..\\outside"])
def test_a_zip_that_reaches_outside_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "in" / "a.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as pack:
        pack.writestr("good.wav", "1")
        pack.writestr(name, "2")
    with pytest.raises(ValueError, match="not safe"):
        extract(archive, tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.zip"]


def test_a_single_folder_around_everything_is_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as pack:
        pack.writestr("fsdd-1.0/recordings/0_theo_0.wav", "1")
        pack.writestr("fsdd-1.0/fsdd-1.0", "2")
    extract(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["fsdd-1.0", "recordings"]


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="unpacking a tar archive takes Python 3.11.4")
def test_a_cut_off_archive_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    whole = tar_of({f"{i}.wav": bytes([i % 256]) * 5000 for i in range(50)})
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_page_in_place_of_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_text("<html>")
    with pytest.raises(ValueError, match="neither a tar nor a zip"):
        extract(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_server_that_crawls_is_left_and_what_arrived_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WITHIN_S", 0.05)
    monkeypatch.setattr(module, "BLOCK", 2000)
    server.pause_s = 0.01
    with pytest.raises(
        ConnectionError, match=r"cannot be downloaded: the server crawls: [\d,]+ bytes in 0 s; the "
    ) as e:
        download(server.url, tmp_path / "x", checksum=SHA)
    assert len(server.requests) == module.ATTEMPTS
    have = (tmp_path / "x.part").stat().st_size
    assert f"the {have:,} bytes that arrived are kept" in str(e.value)
    server.pause_s = 0.0
    assert download(server.url, tmp_path / "x", checksum=SHA).read_bytes() == CONTENT


def test_a_server_that_breaks_off_after_a_few_bytes_again_and_again_is_left(server: Server, tmp_path: Path) -> None:
    server.cut_after = 10
    with pytest.raises(ConnectionError, match="cannot be downloaded: it broke off; the 50 bytes that arrived are kept"):
        download(server.url, tmp_path / "x", checksum=SHA)
    assert len(server.requests) == module.ATTEMPTS


def test_a_full_disk_names_the_file_and_the_bytes_that_are_missing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    class Full(io.BytesIO):
        name = str(tmp_path / "x.part")
        write = full  # type: ignore[assignment]

    monkeypatch.setattr(Path, "open", lambda *_: Full())
    with pytest.raises(OSError, match=rf"No space left on device \({len(CONTENT):,} bytes.*x\.part"):
        download(server.url, tmp_path / "x", checksum=SHA)
