"""Wall time of a session, and the signals that pause it."""

import signal
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Clock:
    """Wall time of all sessions of a campaign."""

    before_s: float
    """Wall time of the earlier sessions."""
    called: float
    """Monotonic time at which the driver was called."""

    def session_s(self) -> float:
        """Wall time of this session."""
        return time.monotonic() - self.called

    def elapsed_s(self) -> float:
        """Wall time of all sessions."""
        return self.before_s + self.session_s()


class Signals:
    """Context that records the signals which pause a campaign."""

    def __init__(self) -> None:
        self.number: int | None = None
        """Number of the last signal received, or None."""
        self.is_impatient = False
        """True if Ctrl-C followed another signal."""
        self._before: dict[signal.Signals, Any] = {}

    @property
    def name(self) -> str:
        """Name of the last signal."""
        return signal.Signals(self.number or signal.SIGTERM).name

    def __enter__(self) -> "Signals":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: Any) -> None:
        self.is_impatient |= self.number is not None and number == signal.SIGINT
        self.number = number
