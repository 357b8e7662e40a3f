"""Downloads from a server on this machine: asked for, into the cache, whole or not at all."""

from __future__ import annotations

import builtins
import gzip
import io
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torch_geometric.datasets import BitcoinOTC, Planetoid

from graphkit.datasets import download, load
from graphkit.datasets.download import downloads_root
from graphkit.datasets.families import ogb
from tests.datasets.ogb_layout import EDGES, write_arxiv


class Server:
    """Serves ``files`` by name. ``cut`` of their bytes are announced but not sent."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = 0
        self.requests: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                name = self.path.rpartition("/")[2].partition("?")[0]
                owner.requests.append(f"{self.command} {name}")
                if name not in owner.files:
                    self.send_error(404)
                    return
                content = owner.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content[: len(content) - owner.cut])

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def bitcoin(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A ``.gz`` with one table: three ratings, ten days apart."""
    rows = "".join(f"{i + 1},{i + 2},5,{1_300_000_000 + 864_000 * i}.5\n" for i in range(3))
    server.files["soc-sign-bitcoinotc.csv.gz"] = gzip.compress(rows.encode())
    monkeypatch.setattr(BitcoinOTC, "url", f"{server.url}/soc-sign-bitcoinotc.csv.gz")
    return server


@pytest.fixture
def arxiv(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A ``.zip`` as OGB's: one folder, called otherwise than the set, with an old ``processed`` in it."""
    folder = write_arxiv(tmp_path / "made" / "arxiv")
    (folder / "processed").mkdir()
    (folder / "processed" / "geometric_data_processed.pt").write_bytes(b"of another PyG")
    server.files["arxiv.zip"] = zipped(folder)
    meta = {**ogb.master("ogbn")["ogbn-arxiv"], "url": f"{server.url}/arxiv.zip"}
    monkeypatch.setitem(ogb.master("ogbn"), "ogbn-arxiv", meta)
    return server


def zipped(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return stream.getvalue()


def remains() -> list[str]:
    """What lies below the downloads, without the locks."""
    return [str(path) for path in downloads_root().rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_yes_downloads_into_the_cache_and_only_once(bitcoin: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert load("bitcoinotc", root, download="yes")[0].num_nodes == 4
    assert list(root.iterdir()) == []
    assert bitcoin.requests == ["HEAD soc-sign-bitcoinotc.csv.gz", "GET soc-sign-bitcoinotc.csv.gz"]
    # Afterwards it is there for everybody, without a network.
    assert load("bitcoinotc", root)[0].num_nodes == load("bitcoinotc", root, download="yes")[0].num_nodes == 4
    assert len(bitcoin.requests) == 2


def test_single_files_are_downloaded_under_the_names_of_pyg(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planetoid, "url", server.url)
    server.files["ind.cora.x"] = b"not a pickle"
    with pytest.raises(ConnectionError, match=r"cannot download http://.*/ind\.cora\.tx \(HTTP Error 404"):
        load("cora", downloads_root(), download="yes")
    assert remains() == []


def test_ogb_zip(arxiv: Server, tmp_path: Path) -> None:
    dataset = load("ogbn-arxiv", tmp_path / "nothing", download="yes")
    assert dataset[0].edge_index.t().tolist() == [list(edge) for edge in EDGES]
    assert dataset.get_idx_split()["test"].tolist() == [5]
    assert not (downloads_root() / "ogb" / "ogbn_arxiv" / "processed").exists()
    assert arxiv.requests == ["HEAD arxiv.zip", "GET arxiv.zip"]


def test_no_is_the_default_and_sends_nothing(arxiv: Server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"raw files are missing.*unless you say so: download='yes'"):
        load("ogbn-arxiv", tmp_path / "nothing")
    assert arxiv.requests == []


def test_ask_without_a_terminal_does_not_wait(arxiv: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(FileNotFoundError, match=r"no terminal to ask on.*download='yes' fetches 1 file from 127"):
        load("ogbn-arxiv", tmp_path / "nothing", download="ask")
    assert arxiv.requests == []


@pytest.mark.parametrize(("reply", "fetched"), [("y", True), ("", False), ("n", False)])
def test_ask_on_a_terminal_shows_size_and_room(
    reply: str, fetched: bool, arxiv: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    questions: list[str] = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(builtins, "input", lambda question: questions.append(question) or reply)
    if fetched:
        load("ogbn-arxiv", tmp_path / "nothing", download="ask")
    else:
        with pytest.raises(FileNotFoundError, match="declined"):
            load("ogbn-arxiv", tmp_path / "nothing", download="ask")
    size = len(arxiv.files["arxiv.zip"]) / 1000
    assert "1 file from 127.0.0.1" in questions[0]
    assert f"({size:.3g} kB, about {4 * size:.3g} kB on the disk;" in questions[0]
    assert ("GET arxiv.zip" in arxiv.requests) == fetched


def test_what_does_not_fit_is_refused_before_it_is_sent(
    arxiv: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"'ogbn-arxiv': .* to download.* has 1 kB free\. Make room"):
        load("ogbn-arxiv", tmp_path / "nothing", download="yes")
    assert arxiv.requests == ["HEAD arxiv.zip"]


def test_a_transfer_that_ends_early_is_named_and_leaves_nothing(arxiv: Server, tmp_path: Path) -> None:
    arxiv.cut = 100
    size = len(arxiv.files["arxiv.zip"])
    with pytest.raises(ConnectionError, match=rf"arxiv\.zip ended after {size - 100} of {size} bytes"):
        load("ogbn-arxiv", tmp_path / "nothing", download="yes")
    assert remains() == []
    arxiv.cut = 0
    assert load("ogbn-arxiv", tmp_path / "nothing", download="yes")[0].num_nodes == 6


@pytest.mark.parametrize("name", ["arxiv.zip", "soc-sign-bitcoinotc.csv.gz"])
def test_an_archive_cut_on_the_server_is_named_and_leaves_nothing(
    name: str, arxiv: Server, bitcoin: Server, tmp_path: Path
) -> None:
    arxiv.files[name] = arxiv.files[name][:-30]
    with pytest.raises(ConnectionError, match=rf"{name} is not a whole archive"):
        load("ogbn-arxiv" if name == "arxiv.zip" else "bitcoinotc", tmp_path / "nothing", download="yes")
    assert remains() == []


def test_an_archive_of_something_else_is_refused(arxiv: Server, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    arxiv.files["arxiv.zip"] = zipped(tmp_path / "other")
    with pytest.raises(ConnectionError, match=r"it holds no RELEASE_v1\.txt"):
        load("ogbn-arxiv", tmp_path / "nothing", download="yes")
    assert remains() == []


def test_an_archive_cannot_write_outside(arxiv: Server, tmp_path: Path) -> None:
    stream = io.BytesIO(arxiv.files["arxiv.zip"])
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("arxiv/../../../outside", "harm")
    arxiv.files["arxiv.zip"] = stream.getvalue()
    with pytest.raises(ConnectionError, match="points outside"):
        load("ogbn-arxiv", tmp_path / "nothing", download="yes")
    assert list(tmp_path.rglob("outside")) == []


def test_a_downloaded_file_that_changed_is_named(bitcoin: Server, tmp_path: Path) -> None:
    load("bitcoinotc", tmp_path / "nothing", download="yes")
    path = downloads_root() / "BitcoinOTC" / "raw" / "soc-sign-bitcoinotc.csv"
    path.write_text("1,2,5,1300000000.5\n")
    with pytest.raises(ValueError, match=rf"SHA-256 differs\): {path}; delete"):
        load("bitcoinotc", tmp_path / "nothing")


def test_raw_files_of_the_user_come_before_downloaded_ones(bitcoin: Server, tmp_path: Path) -> None:
    load("bitcoinotc", tmp_path, download="yes")
    raw = tmp_path / "BitcoinOTC" / "raw"
    raw.mkdir(parents=True)
    (raw / "soc-sign-bitcoinotc.csv").write_text("1,2,5,1300000000.5\n")
    assert load("bitcoinotc", tmp_path)[0].num_nodes == 2


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="download: got 'maybe', expected 'no', 'yes' or 'ask'"):
        load("karate", download="maybe")


def test_where_no_address_is_known_none_is_offered(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"exp_graphs\.npz.*Nothing is downloaded\.$"):
        load("exp", tmp_path, download="yes")
