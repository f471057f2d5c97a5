"""Builds and runs the image without an engine's daemon and without an image registry: buildah, podman, runc, debootstrap.

What is slow to make is kept in a folder of its own: LEADLOOP_CONTAINER_CACHE, else one below the temporary folder.
"""

import json
import os
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What the Dockerfile's BASE_IMAGE names stands for here: the same Python of Debian itself, as no registry may be in reach.
SUITE, BASE = "trixie", "localhost/leadloop-base"
IMAGE = "localhost/leadloop"
BASE_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("buildah", "podman", "runc", "debootstrap")
BUNDLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
DEBIAN_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def missing_tools() -> list[str]:
    """The programs that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def run(*command: str | Path, text: str | None = None, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; what it said is in the error where it fails."""
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, cwd=ROOT, check=False)
    if is_checked and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@dataclass(frozen=True, slots=True)
class Shop:
    """A folder with the base image and a storage of images and containers that nothing else uses."""

    folder: Path

    @classmethod
    def open(cls) -> "Shop":
        """The usual one."""
        given = os.environ.get("LEADLOOP_CONTAINER_CACHE")
        folder = Path(given) if given else Path(tempfile.gettempdir()) / "leadloop-container"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def buildah(self, *arguments: str | Path, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        """Run buildah on this storage."""
        return run("buildah", *self._storage(), *arguments, is_checked=is_checked)

    def podman(
        self, *arguments: str | Path, text: str | None = None, is_checked: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run podman on this storage."""
        # crun, its default, needs more of the kernel than a container that runs in a container is given.
        return run("podman", *self._storage(), "--runtime", "runc", *arguments, text=text, is_checked=is_checked)

    def make_base(self) -> None:
        """The base image, made once: a small Debian with its Python."""
        if self.buildah("inspect", "--type", "image", BASE, is_checked=False).returncode == 0:
            return
        tree = self.folder / "base"
        if not (tree / "usr/bin/python").is_symlink():
            shutil.rmtree(tree, ignore_errors=True)
            run("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, tree)
            for marker in tree.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
                marker.unlink()
            (tree / "etc/resolv.conf").write_text("")
            (tree / "usr/bin/python").symlink_to("python3")
        container = self.buildah("from", "scratch").stdout.strip()
        self.buildah("add", container, tree, "/")
        self.buildah("config", "--env", f"PATH={PATH}", "--cmd", "python3", container)
        self.buildah("commit", "--rm", container, BASE)

    def build(self) -> None:
        """Build the Dockerfile as it is committed. The format keeps HEALTHCHECK; the mounts are this machine's way out."""
        bundle = self._bundle()
        mounts = [f"{self._pip_conf(bundle)}:/etc/pip.conf:ro", *([f"{bundle}:{bundle}:ro"] if bundle else [])]
        volumes = [part for mount in mounts for part in ("--volume", mount)]
        options = ("--isolation", "chroot", "--format", "docker", "--pull-never", "--network", "host", "--layers")
        self.buildah("bud", *options, *volumes, "--build-arg", f"BASE_IMAGE={BASE}", "--tag", IMAGE, ".")

    def image(self) -> dict[str, Any]:
        """What the built image says of itself."""
        (told,) = json.loads(self.podman("inspect", "--type", "image", IMAGE).stdout)
        return dict(told)

    def _storage(self) -> tuple[str | Path, ...]:
        return ("--root", self.folder / "storage", "--runroot", self.folder / "run")

    def _bundle(self) -> Path | None:
        """The certificates that this machine believes."""
        named = [os.environ.get(name) for name in BUNDLES]
        found = (Path(one) for one in (*named, ssl.get_default_verify_paths().cafile, DEBIAN_BUNDLE) if one)
        return next((one for one in found if one.is_file()), None)

    def _pip_conf(self, bundle: Path | None) -> Path:
        """What of pip's settings on this machine holds in a container too: where packages come from, and whom to believe."""
        listed = run(sys.executable, "-m", "pip", "config", "list").stdout.splitlines()
        pairs = (line.replace(":env:.", "global.", 1).partition("=") for line in listed)
        here = {name.removeprefix("global."): value.strip("'\"") for name, _, value in pairs}
        kept = {name: here[name] for name in ("index-url", "trusted-host", "proxy", "timeout", "default-timeout") if name in here}
        config = ConfigParser(interpolation=None)
        config["global"] = kept | ({"cert": str(bundle)} if bundle else {})
        path = self.folder / "pip.conf"
        with path.open("w", encoding="utf-8") as file:
            config.write(file)
        return path


@dataclass(frozen=True, slots=True)
class House:
    """One container with its volume, locked down as an operator would: read-only, no capability, no network but its own."""

    shop: Shop
    name: str

    @property
    def volume(self) -> str:
        """Its data's name."""
        return f"{self.name}-data"

    def start(self, environment: Mapping[str, str], *command: str) -> None:
        """Run it in the background."""
        self.shop.podman("run", "--detach", "--name", self.name, *self._options(environment), IMAGE, *command)

    def run(self, environment: Mapping[str, str], *command: str, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command in a container of its own on the same volume."""
        return self.shop.podman("run", "--rm", *self._options(environment), IMAGE, *command, is_checked=is_checked)

    def tell(self, *command: str, text: str | None = None, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command inside the running container."""
        interactive = () if text is None else ("--interactive",)
        return self.shop.podman("exec", *interactive, self.name, *command, text=text, is_checked=is_checked)

    def ask(self, path: str, key: str = "") -> tuple[int, str]:
        """GET a path from inside, where there is no network; status 0 where nobody listens."""
        code = (
            "import sys, urllib.error, urllib.request as r\n"
            "try: a = r.urlopen(r.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + sys.argv[2]}), timeout=5)\n"
            "except urllib.error.HTTPError as e: a = e\n"
            "print(a.status); print(a.read().decode())"
        )
        done = self.tell("python", "-c", code, f"http://127.0.0.1:8000{path}", key, is_checked=False)
        status, _, body = done.stdout.partition("\n")
        return (int(status), body) if done.returncode == 0 else (0, done.stderr)

    def wait_until_ready(self, seconds: float) -> None:
        """Return when /readyz says so; AssertionError with the logs where it does not in time."""
        ends_at = time.monotonic() + seconds
        while self.ask("/readyz")[0] != 200:
            assert time.monotonic() < ends_at, self.logs()
            time.sleep(0.2)

    def stop(self, seconds: int) -> tuple[float, int]:
        """SIGTERM, and SIGKILL after so many seconds: how long it took and its exit code."""
        began = time.monotonic()
        self.shop.podman("stop", "--time", str(seconds), self.name)
        took = time.monotonic() - began
        (state,) = json.loads(self.shop.podman("inspect", "--format", "[{{json .State}}]", self.name).stdout)
        return took, int(state["ExitCode"])

    def logs(self) -> str:
        """What it wrote."""
        done = self.shop.podman("logs", self.name, is_checked=False)
        return done.stdout + done.stderr

    def remove(self) -> None:
        """The container and its data."""
        self.shop.podman("rm", "--force", "--time", "0", self.name, is_checked=False)
        self.shop.podman("volume", "rm", "--force", self.volume, is_checked=False)

    def _options(self, environment: Mapping[str, str]) -> list[str]:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        variables = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        locked = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        limits = ("--memory", "256m", "--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096")
        volume = ("--volume", f"{self.volume}:/data")
        return ["--network", "none", "--no-healthcheck", *locked, *limits, *volume, *variables]
