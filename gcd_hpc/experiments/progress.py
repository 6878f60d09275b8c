"""Progress of tasks: a bar for each in a terminal, otherwise a line for each finished task."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TaskProgress:
    """Progress bars of tasks, addressed by name."""

    def __init__(self) -> None:
        self.console = Console()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._ids: dict[str, TaskID] = {}

    def __enter__(self) -> "TaskProgress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def add(self, name: str) -> None:
        """Add a waiting task."""
        self._ids[name] = self._bars.add_task(name, total=1.0, start=False)

    def start(self, name: str) -> None:
        """Start the clock of a task's bar."""
        if name not in self._ids:
            self.add(name)
        self._bars.start_task(self._ids[name])

    def show(self, name: str, fraction: float) -> None:
        """Set the fraction that is done."""
        self._bars.update(self._ids[name], completed=fraction)

    def done(self, name: str, core_s: float) -> None:
        """Mark a task as finished."""
        self.show(name, 1.0)
        if not self.console.is_terminal:
            self.note(f"{name}: done, {core_s:.1f} s")

    def kept(self, name: str) -> None:
        """Report a task whose arrays exist already."""
        self.note(f"{name}: kept from before")

    def note(self, text: str) -> None:
        """Print one line that stays on the screen."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
