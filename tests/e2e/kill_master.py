"""The parent of the kill test: imports everything once, stays single-threaded, forks the stage and worker after worker.

`python -m tests.e2e.kill_master DATABASE_URL FOLDER SEED KILLS` plays one run and prints its result as JSON. A worker kills
itself with SIGKILL at a step that the seed fixes (a statement, a commit, a request, an answer; those just after something was
recorded or claimed and around an upload more often than others), or is killed from outside.
"""

import asyncio
import gc
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from connectors import registry
from tests.e2e.kill_stage import SharedClock, Stage, dumped, serve
from tests.e2e.kill_worker import Order, Point, apply, finish, work
from tests.e2e.kill_world import BEGINS_AT, DAYS, build_company

FAULT_RATE = 0.1
LONGEST_WORKER_SECONDS = 8.0
MOST_WORKERS = 200
FROM_OUTSIDE = 0.15
POINTS = {Point.ANY: 3, Point.RECORDED: 3, Point.CLAIMED: 2, Point.SENDING: 2, Point.SENT: 2}


@dataclass
class Master:
    """Forks and kills. `address` is where the vendors are served."""

    url: str
    folder: Path
    seed: int
    kills: int

    def __post_init__(self) -> None:
        self.luck = random.Random(f"kills {self.seed}")
        self.clock = SharedClock(BEGINS_AT)
        self.killed = 0
        self.workers = 0

    def play(self) -> dict[str, object]:
        """The whole run: kills among faults until enough were killed, then calm until nothing is due."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so that asyncio sets TCP_NODELAY
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        self.port = listening.getsockname()[1]
        stage = Stage(build_company(self.seed), self.clock, self.seed, FAULT_RATE)
        stage_pid = self._fork(lambda: serve(stage, listening))
        listening.close()
        try:
            self._calmly(apply)
            while self.killed < self.kills and self.workers < MOST_WORKERS:
                self._one_worker()
            met = self._control("POST", "/control/calm")["faults"]
            self._calmly(finish)
            result = self._control("GET", "/control/result")
        finally:
            os.kill(stage_pid, signal.SIGKILL)
            os.waitpid(stage_pid, 0)
        return {**result, "kills": self.killed, "workers": self.workers, "faults": met}

    def _one_worker(self) -> None:
        self.workers += 1
        is_from_outside = self.luck.random() < FROM_OUTSIDE
        order = self._order(is_from_outside=is_from_outside)
        deadline = time.monotonic() + (self.luck.uniform(0.05, 0.6) if is_from_outside else LONGEST_WORKER_SECONDS)
        pid = self._fork(lambda: asyncio.run(work(self.url, self.port, self.clock, order)))
        self.killed += self._wait(pid, deadline)
        # Mostly long enough for a dead holder's leases to run out, sometimes not.
        share = timedelta(days=DAYS).total_seconds() / max(self.kills, 1)
        self._advance(self.luck.uniform(0.1, 1.4) * share if self.luck.random() < 0.8 else self.luck.uniform(1, 200))

    def _order(self, *, is_from_outside: bool) -> Order:
        """Any step at all, or a moment at which a wrong order of things would show."""
        seed, ticks = self.luck.getrandbits(32), self.luck.randrange(1, 4)
        if is_from_outside:
            return Order(seed, ticks)
        (point,) = self.luck.choices(list(POINTS), list(POINTS.values()))
        nth = int(self.luck.triangular(1, 400, 60)) if point is Point.ANY else self.luck.randrange(1, 4)
        return Order(seed, ticks, nth, point)

    def _wait(self, pid: int, deadline: float) -> bool:
        """True where the worker died by SIGKILL; one that waits for a dead holder's lease sees time pass."""
        stuck_at = time.monotonic() + 2
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                break
            if time.monotonic() > stuck_at:
                self._advance(180)
                stuck_at = time.monotonic() + 2
            time.sleep(0.002)
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status) == signal.SIGKILL
        if os.WEXITSTATUS(status) != 0:
            raise SystemExit(f"worker {self.workers} failed, see its traceback above")
        return False

    def _calmly(self, what: Callable[[str, int, SharedClock, Path], Awaitable[None]]) -> None:
        """A worker that nobody kills."""
        pid = self._fork(lambda: asyncio.run(_awaited(what(self.url, self.port, self.clock, self.folder))))
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise SystemExit("a worker that nobody killed failed, see its traceback above")

    def _fork(self, run: Callable[[], None]) -> int:
        if threading.active_count() != 1 or len(list(Path("/proc/self/task").iterdir())) != 1:
            raise SystemExit("the parent must have one thread only when it forks")
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            run()
            code = 0
        except BaseException:  # noqa: BLE001 told, and turned into an exit code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _advance(self, seconds: float) -> None:
        self._control("POST", f"/control/advance?seconds={seconds:.3f}")

    def _control(self, method: str, path: str) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path)
            return dumped(connection.getresponse().read())
        finally:
            connection.close()


async def _awaited(one: Awaitable[None]) -> None:
    await one


def main() -> None:
    """Play one run from the command line's words."""
    url, folder, seed, kills = sys.argv[1:]
    if not registry.DESTINATIONS:
        raise SystemExit("no destination is registered")
    gc.collect()
    gc.freeze()
    sys.stdout.write(json.dumps(Master(url, Path(folder), int(seed), int(kills)).play()) + "\n")


if __name__ == "__main__":
    main()
