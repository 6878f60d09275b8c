"""Ledger of a campaign: the append-only file ``events.jsonl``, which has one writer."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import gethostname

from gcd_hpc.campaign.checkpoint import (
    MIN_EVENTS,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from gcd_hpc.campaign.events import VERSION, Event, LineReader, Opened, to_line
from gcd_hpc.campaign.state import State
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.files import cannot_write
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.reaper import is_alive

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of file systems that have no file locks."""


class LedgerReader:
    """Incremental reader of a ledger, safe while a driver writes to it."""

    def __init__(self, run_dir: Path) -> None:
        self._path = RunDirectory(run_dir).ledger
        self._lines = LineReader()
        self.offset = 0
        """Number of bytes read so far, up to the end of a whole line."""
        self._file_id: tuple[int, int] | None = None
        self.state: State | None = None
        """State after the events read; None before the first."""

    def refresh(self) -> State | None:
        """Read the events that were added since the last call, except an incomplete last line.

        Raises:
            RunDirectoryError: if a line is damaged.
        """
        if self._file_id is None and (known := load_checkpoint(self._path)):
            self.state, self._lines = known.state, known.lines
            self.offset, self._file_id = known.offset, known.file_id
        before = self._lines.number
        for event in self.new_events():
            self.take(event)
        if self._file_id is not None and self._lines.number - before >= MIN_EVENTS:
            known = Checkpoint(self.state, self._lines, self.offset, self._file_id)
            save_checkpoint(self._path, known)
        return self.state

    def take(self, event: Event) -> State | None:
        """Apply one event to the state."""
        if self.state is None and isinstance(event, Opened):
            self.state = State(event.plan)
        if self.state is not None:
            self.state.apply(event)
        return self.state

    def new_events(self) -> Iterator[Event]:
        """Iterate over the events that were added since the last call.

        Raises:
            RunDirectoryError: if the file cannot be read or a line is damaged.
        """
        try:
            with open(self._path, "rb") as file:
                self._start_anew_if_replaced(os.fstat(file.fileno()))
                file.seek(self.offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    yield self._event(line)
                    self.offset += len(line)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise RunDirectoryError(f"cannot read {self._path}: {error.strerror}") from error

    @property
    def crc(self) -> int:
        """Checksum of all lines read so far."""
        return self._lines.crc

    @property
    def version(self) -> int:
        """Format version of the ledger's lines."""
        return self._lines.version

    def _event(self, line: bytes) -> Event:
        try:
            return self._lines.event(line[:-1])
        except ValueError as error:
            raise RunDirectoryError(
                f"{self._path}: line {self._lines.number} cannot be read as an event: {error}; move"
                " the file away, and the campaign command makes a new one from the results on disk"
            ) from None

    def _start_anew_if_replaced(self, stat: os.stat_result) -> None:
        file_id = (stat.st_dev, stat.st_ino)
        if file_id != self._file_id or stat.st_size < self.offset:
            self._lines = LineReader()
            self.offset = 0
            self.state = None
            self._file_id = file_id


def read_state(run_dir: Path) -> State | None:
    """State after all events of a run's ledger; None if no driver was ever started there.

    Raises:
        RunDirectoryError: if a line is damaged.
    """
    return LedgerReader(run_dir).refresh()


class Ledger:
    """The only writer of a run's ledger: a context manager that holds the file lock."""

    def __init__(self, run_dir: Path) -> None:
        self._path = RunDirectory(run_dir).ledger
        self._reader = LedgerReader(run_dir)
        self._crc = 0
        self._stack = ExitStack()

    @property
    def state(self) -> State | None:
        """State after all events, including appended ones; None before the first."""
        return self._reader.state

    def __enter__(self) -> "Ledger":
        """Lock the ledger and read it.

        Raises:
            RunDirectoryError: if another driver has it, or if it cannot be read or continued.
        """
        with ExitStack() as stack:
            try:
                # Unbuffered, so that kill -9 loses no event that was appended.
                self._file = stack.enter_context(open(self._path, "a+b", buffering=0))
            except OSError as error:
                raise cannot_write(self._path, error) from error
            has_lock = self._lock()
            self._reader.refresh()
            if not has_lock:
                self._check_last_driver()
            if self._reader.version < VERSION and self.state is not None:
                raise RunDirectoryError(
                    f"{self._path} was written by gcd-hpc 0.1, which kept no records in its result"
                    " files: its results can be read and merged, but to go on it needs that"
                    " version; or choose another --run-dir"
                )
            os.ftruncate(self._file.fileno(), self._reader.offset)  # remove an incomplete last line
            self._crc = self._reader.crc
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _lock(self) -> bool:
        """Lock the open file; return False on a file system without locks.

        Raises:
            RunDirectoryError: if another process holds the lock, or if the request fails.
        """
        try:
            # Not lockf: its lock ends as soon as a reader in this process closes the file.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use() from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise cannot_write(self._path, error) from error
            return False
        return True

    def _check_last_driver(self) -> None:
        """Refuse a second driver by the ledger itself, where the file system has no locks.

        The process of a driver on another machine cannot be seen, so that it is only warned of.

        Raises:
            RunDirectoryError: if the last driver runs on this machine and has not ended.
        """
        state = self.state
        if state is None or state.paused or state.stopped is not None:
            return
        last = state.account.sessions[-1]
        if last.host != gethostname():
            print(
                f"warning: {self._path}: the file system has no locks; make sure that the driver on"
                f" {last.host}, which has not said that it ended, does not run any more",
                file=sys.stderr,
            )
        elif is_alive(last.pid, last.created):
            raise self._in_use()

    def _in_use(self) -> RunDirectoryError:
        folder = self._path.parent
        return RunDirectoryError(
            f"{folder} is in use by another driver{_holder(folder)}; wait for it or stop it first"
        )

    def append(self, event: Event) -> State:
        """Append one event completely or not at all, and return the new state.

        The first event is an ``Opened``.

        Raises:
            RunDirectoryError: if the disk is full.
        """
        size = os.fstat(self._file.fileno()).st_size
        line, crc = to_line(event, self._crc)
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)
            raise cannot_write(self._path, error) from error
        self._crc = crc
        state = self._reader.take(event)
        assert state is not None, "the first event of a ledger opens the campaign"
        return state

    def clear(self) -> None:
        """Delete all events."""
        os.ftruncate(self._file.fileno(), 0)
        self._reader = LedgerReader(self._path.parent)
        self._crc = 0


def _holder(run_dir: Path) -> str:
    try:
        state = read_state(run_dir)
    except RunDirectoryError:
        return ""
    return f" (process {state.account.sessions[-1].pid})" if state is not None else ""
