"""Keeps the samples of a run folder also in the database that all machines reach."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.postgres.database import Pool
from blackbox_conformal.drawing.ledger.sample_store import Arrival, InboxFile, Store, sniff_extension
from blackbox_conformal.errors import PayloadError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_once

_AT_ONCE = 8
_LOOKED_FOR_AT_ONCE = 5000


class PostgresAnswers:
    """Contents in one database by their digests (``sha256:…``), each once; any thread may call.

    `put` returns once the content is on disk, since the server may crash before the ledger names it. Errors are a
    `LedgerError`.
    """

    def __init__(self, address: Address) -> None:
        self._pool = Pool(address)

    def put(self, digest: str, content: bytes) -> None:
        query = "INSERT INTO sample VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
        self._pool.run(lambda connection: connection.execute(query, (digest, len(content), content)))

    def get(self, digest: str) -> bytes | None:
        # In binary: as text a picture would be twice as long on the way.
        query = "SELECT content FROM sample WHERE digest = %s"
        row = self._pool.run(lambda connection: connection.raw.execute(query, (digest,), binary=True).fetchone())
        return None if row is None else bytes(row[0])

    def among(self, digests: Collection[str]) -> set[str]:
        """Return the `digests` whose contents are kept."""
        wanted, found = list(digests), set[str]()
        for start in range(0, len(wanted), _LOOKED_FOR_AT_ONCE):
            found |= self._among(wanted[start : start + _LOOKED_FOR_AT_ONCE])
        return found

    def _among(self, digests: list[str]) -> set[str]:
        query = "SELECT digest FROM sample WHERE digest = ANY(?)"
        return self._pool.run(lambda connection: {row[0] for row in connection.execute(query, (digests,)).fetchall()})

    def close(self) -> None:
        self._pool.close()


class SharedStore(Store):
    """A store that keeps every answer in the folder and in the database, before the ledger calls it stored."""

    def __init__(self, run: Path, address: Address) -> None:
        super().__init__(run)
        self._answers = PostgresAnswers(address)

    def share(self, digests: Collection[str]) -> None:
        found = {digest: super(SharedStore, self).locate(digest) for digest in digests}
        there = self._answers.among(digests)

        def put(digest: str, path: Path) -> None:
            content = path.read_bytes()
            if digest_bytes(content) == digest:
                self._answers.put(digest, content)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="share") as pool:
            here = {digest: path for digest, path in found.items() if path is not None and digest not in there}
            list(pool.map(put, here, here.values()))

    def receive(
        self,
        attempt: int,
        data: bytes,
        report: VendorReport = VendorReport(),  # noqa: B008 - frozen
        place: InboxFile | None = None,
    ) -> Arrival:
        arrival = super().receive(attempt, data, report, place)
        self._answers.put(arrival.digest, data)
        return arrival

    def arrivals(self, may_adopt: Callable[[int], bool] = lambda _: True) -> Iterator[Arrival]:
        for arrival in super().arrivals(may_adopt):
            self._answers.put(arrival.digest, Path(arrival.path).read_bytes())
            yield arrival

    def among(self, digests: Collection[str]) -> frozenset[str]:
        here = {digest for digest in digests if super(SharedStore, self).locate(digest) is not None}
        return frozenset(here | self._answers.among([digest for digest in digests if digest not in here]))

    def locate(self, digest: str) -> Path | None:
        found = super().locate(digest)
        if found is not None:
            return found
        content = self._kept(digest)
        if content is None:
            return None
        value = digest.removeprefix("sha256:")
        path = self._samples / value[:2] / f"{value}{sniff_extension(content)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, content)
        return path

    def check(self, digest: str) -> None:
        if super().locate(digest) is not None:
            self.examine(digest)
        if self._kept(digest) is None:
            raise PayloadError(f"expected the stored sample {digest} where answers are kept; it is gone, or damaged")

    def _kept(self, digest: str) -> bytes | None:
        # A damaged content counts as missing.
        content = self._answers.get(digest)
        return content if content is not None and digest_bytes(content) == digest else None

    def close(self) -> None:
        super().close()
        self._answers.close()
