from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from foldover.core import DataError, OutsideError
from foldover.data import HuggingFaceClient, StreamedSource, hub_source
from foldover.data.hub import MANIFEST, TRIES, Listing, RemoteFile

Parquet = Callable[[Path, Sequence[str | None]], Path]
# The server hangs up after so many bytes of a file until it is asked for the rest.
CUT = 5000
COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def remote(tmp_path: Path, write_parquet: Parquet) -> Path:
    """A repository of six shards and a README, as the hub has it."""
    folder = tmp_path / "remote"
    for i in range(6):
        write_parquet(folder / f"shard_{i:05d}.parquet", [f"shard {i} document {n}" for n in range(3)])
    (folder / "README.md").write_text("About it.")
    return folder


class FakeClient:
    """Serves a folder; fails as often as it is told to, and can deliver garbage once."""

    def __init__(self, remote: Path, *, failures: int = 0, garbage: str = "") -> None:
        self.remote, self.failures, self.garbage = remote, failures, garbage
        self.revisions: list[str] = []
        self.downloads: list[str] = []

    def listing(self, repository: str, revision: str) -> Listing:
        self.revisions.append(revision)
        self._fail()
        files = tuple(
            RemoteFile(name=file.name, size=file.stat().st_size, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
            for file in sorted(self.remote.iterdir())
        )
        return Listing(repository=repository, commit=COMMIT, files=files)

    def download(self, repository: str, commit: str, name: str, folder: Path) -> None:
        assert commit == COMMIT
        self._fail()
        self.downloads.append(name)
        data = (self.remote / name).read_bytes()
        if name == self.garbage:
            self.garbage, data = "", data[:-1] + b"?"
        (folder / name).write_bytes(data)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("reset")


def fetched(client: FakeClient | HuggingFaceClient, cache: Path, name: str = "hub:karpathy/mix:2") -> StreamedSource:
    return hub_source(name, cache=cache, client=client, wait=lambda seconds: None)


def texts(source: StreamedSource) -> tuple[list[bytes], list[bytes]]:
    sides = ("train", "val")
    train, val = ([one.text for one in source.documents(side)] for side in sides)
    return train, val


def test_the_first_shards_and_the_last_are_fetched(remote: Path, tmp_path: Path) -> None:
    train, val = texts(fetched(FakeClient(remote), tmp_path))
    assert train == [f"shard {i} document {n}".encode() for i in (0, 1) for n in range(3)]
    assert val == [f"shard 5 document {n}".encode() for n in range(3)]


def test_the_validation_shard_comes_first(remote: Path, tmp_path: Path) -> None:
    client = FakeClient(remote)
    fetched(client, tmp_path)
    assert client.downloads == ["shard_00005.parquet", "shard_00000.parquet", "shard_00001.parquet"]


def test_what_is_there_is_not_asked_for_again(remote: Path, tmp_path: Path) -> None:
    first = fetched(FakeClient(remote), tmp_path)
    client = FakeClient(remote, failures=99)
    assert (fetched(client, tmp_path), client.revisions) == (first, [])


def test_more_shards_are_those_of_the_same_commit(remote: Path, tmp_path: Path) -> None:
    fetched(FakeClient(remote), tmp_path)
    client = FakeClient(remote)
    fetched(client, tmp_path, "hub:karpathy/mix:4")
    assert client.downloads == ["shard_00002.parquet", "shard_00003.parquet"]


def test_an_interrupted_download_goes_on(remote: Path, tmp_path: Path) -> None:
    class Killed(FakeClient):
        def download(self, repository: str, commit: str, name: str, folder: Path) -> None:
            if len(self.downloads) == 2:
                raise KeyboardInterrupt
            super().download(repository, commit, name, folder)

    with pytest.raises(KeyboardInterrupt):
        fetched(Killed(remote), tmp_path)
    client = FakeClient(remote)
    fetched(client, tmp_path)
    assert (client.downloads, client.revisions) == (["shard_00001.parquet"], [COMMIT])


def test_a_file_that_is_not_the_promised_one_is_fetched_again(remote: Path, tmp_path: Path) -> None:
    client = FakeClient(remote, garbage="shard_00000.parquet")
    fetched(client, tmp_path)
    assert client.downloads.count("shard_00000.parquet") == 2


def test_a_file_that_was_damaged_here_is_fetched_again(remote: Path, tmp_path: Path) -> None:
    fetched(FakeClient(remote), tmp_path)
    (file,) = tmp_path.rglob("hub/*/*/shard_00001.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    client = FakeClient(remote)
    fetched(client, tmp_path)
    assert client.downloads == ["shard_00001.parquet"]


def test_a_network_that_comes_back_is_waited_for(remote: Path, tmp_path: Path) -> None:
    waits: list[float] = []
    client = FakeClient(remote, failures=TRIES - 1)
    hub_source("hub:karpathy/mix:2", cache=tmp_path, client=client, wait=waits.append)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_network_that_stays_away_is_an_outside_error(remote: Path, tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match=r"5 tries\): reset.*The same command goes on"):
        fetched(FakeClient(remote, failures=99), tmp_path)


def test_more_shards_than_there_are_is_refused(remote: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 6 Parquet shards at its top; 6 and the last one are needed"):
        fetched(FakeClient(remote), tmp_path, "hub:karpathy/mix:6")


def test_the_digest_is_that_of_the_files_and_not_of_the_hub(remote: Path, tmp_path: Path) -> None:
    from foldover.data import corpus_source

    source = fetched(FakeClient(remote), tmp_path, "hub:karpathy/mix:5")
    assert source.digest == corpus_source(f"path:{remote}", cache=tmp_path).digest


def test_revisions_have_folders_of_their_own(remote: Path, tmp_path: Path) -> None:
    client = FakeClient(remote)
    fetched(client, tmp_path)
    fetched(client, tmp_path, "hub:karpathy/mix@v2:2")
    assert (client.revisions, len(list(tmp_path.rglob(MANIFEST)))) == (["main", "v2"], 2)


# The hub's own client against a server of this machine


@pytest.fixture
def server(remote: Path) -> Iterator[tuple[str, list[str]]]:
    """Speaks as much of the hub's protocol as a download needs; gives its address and the ranges asked for."""
    ranges: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(is_head=True)

        def do_GET(self) -> None:
            self._answer(is_head=False)

        def _answer(self, *, is_head: bool) -> None:
            if self.path.startswith("/api/datasets/karpathy/mix/revision/"):
                siblings = [_sibling(file) for file in sorted(remote.iterdir())]
                return self._send(json.dumps({"id": "karpathy/mix", "sha": COMMIT, "siblings": siblings}).encode(), {})
            found = re.fullmatch(rf"/datasets/karpathy/mix/resolve/{COMMIT}/([\w.]+)", self.path)
            if found is None:
                return self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)
            data = (remote / found[1]).read_bytes()
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            asked = self.headers.get("Range")
            if asked and not is_head:
                ranges.append(asked)
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                return self._send(data[start:], headers, status=206)
            return self._send(data, headers, is_head=is_head)

        def _send(self, data: bytes, headers: dict[str, str], *, status: int = 200, is_head: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not is_head:
                is_cut = status == 200 and len(data) > CUT and not ranges
                self.wfile.write(data[:CUT] if is_cut else data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}", ranges
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def _sibling(file: Path) -> dict[str, object]:
    sha, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
    return {"rfilename": file.name, "size": size, "lfs": {"sha256": sha, "size": size, "pointerSize": 134}}


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.mark.filterwarnings("ignore")  # the library's own
def test_the_hubs_client_brings_the_files(server: tuple[str, list[str]], tmp_path: Path) -> None:
    source = fetched(HuggingFaceClient(endpoint=server[0]), tmp_path)
    assert texts(source)[1] == [f"shard 5 document {n}".encode() for n in range(3)]


@pytest.mark.filterwarnings("ignore")
def test_the_hubs_client_asks_for_the_rest_of_a_file(
    server: tuple[str, list[str]],
    remote: Path,
    write_parquet: Parquet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CUT // 5)  # it keeps whole chunks
    long = "".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(500))
    write_parquet(remote / "shard_00005.parquet", [long])
    source = fetched(HuggingFaceClient(endpoint=server[0]), tmp_path)
    assert texts(source)[1] == [long.encode()]
    assert server[1][0] == f"bytes={CUT}-"


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_that_is_not_there_is_refused(server: tuple[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such dataset or revision"):
        fetched(HuggingFaceClient(endpoint=server[0]), tmp_path, "hub:nobody/nothing:2")


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_away_is_an_outside_error(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="5 tries"):
        fetched(HuggingFaceClient(endpoint="http://127.0.0.1:9"), tmp_path)
