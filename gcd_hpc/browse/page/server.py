"""HTTP server of the page on 127.0.0.1, read-only and protected by a token in the address."""

import secrets
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gcd_hpc.browse.page.routes import Answer, RunPages, json_answer
from gcd_hpc.browse.page.set_pages import SetPages
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.run_set import RunSet

HOST = "127.0.0.1"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    # The 3D viewer sets inline styles.
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MAX_CONNECTIONS, MAX_DOWNLOADS = 512, 2
"""Largest number of connections; browsers open six, and idle ones are closed after a minute."""


class PageServer(ThreadingHTTPServer):
    """Server of one run or set of boundaries; port 0 chooses any free port.

    Raises:
        StoreError: if there is no such run or the port is taken.
    """

    daemon_threads = True

    def __init__(self, run: Path, port: int = 0) -> None:
        self.pages = SetPages(run) if RunSet.is_set(run) else RunPages(run)
        self.downloads = threading.Semaphore(MAX_DOWNLOADS)
        self._connections = threading.Semaphore(MAX_CONNECTIONS)
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            cure = "leave --port out to take any"
            raise StoreError(
                f"--port {port}: cannot be used on {HOST}: {error.strerror}; {cure}"
            ) from error

    def server_bind(self) -> None:
        # HTTPServer.server_bind would look up the host's name in the DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def url(self) -> str:
        """Address of the page, token included."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread, or close it if there are too many."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the browser closed during a response."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def serve(
    run: Path, port: int = 0, open_browser: bool = True, say: Callable[[str], None] = print
) -> None:
    """Serve the page of a run or of a set of boundaries until Ctrl-C.

    Args:
        say: called with the address once the page can be opened.

    Raises:
        StoreError: if there is no such run or the port is taken.
    """
    with PageServer(run, port) as server:
        # Read the data of the first view before the address is announced.
        server.pages.prepare()
        say(server.url)
        with _redirection(server.url) as address:
            if open_browser:
                webbrowser.open(address)
            with suppress(KeyboardInterrupt):
                server.serve_forever()


@contextmanager
def _redirection(url: str) -> Iterator[str]:
    """Address of a private file that redirects to the page.

    It hides the token, as all users of the machine can see a browser's command line.
    """
    with tempfile.TemporaryDirectory(prefix="gcd-hpc-") as folder:
        page = Path(folder, "open.html")
        page.touch(mode=0o600)
        page.write_text(
            f'<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">open</a>'
        )
        yield page.as_uri()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gcd-hpc", ""
    timeout = 60

    def do_GET(self) -> None:
        # Downloads may be large, so only a few are in memory at a time.
        is_large = urlsplit(self.path).path.endswith("/api/download")
        with self.server.downloads if is_large else nullcontext():
            self._send(*self._answered())

    def _send(self, status: int, answer: Answer) -> None:
        kind, body, headers = answer
        self.send_response(status)
        text = (
            kind
            if "charset" in kind or not kind.startswith(("text/", "application/json"))
            else f"{kind}; charset=utf-8"
        )
        for name, value in {
            "Content-Type": text,
            "Content-Length": str(len(body)),
            **HEADERS,
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED, "this page only reads")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse_method

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send errors of http.server as JSON, too, and close the connection.

        The body of the refused request was not read, so the connection cannot be reused.
        """
        self.close_connection = True
        kind, body, _ = json_answer({"error": message or HTTPStatus(code).phrase})
        self._send(code, (kind, body, {"Connection": "close"}))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing; http.server would log every request."""

    def _answered(self) -> tuple[HTTPStatus, Answer]:
        if self.headers.get_all("Host") not in [
            [f"{name}:{self.server.server_port}"] for name in (HOST, "localhost")
        ]:
            # DNS rebinding: a foreign page whose host name points to this machine.
            return _refusal(
                HTTPStatus.FORBIDDEN,
                "this page is only shown at the address that gcd-hpc browse printed; open that one",
            )
        address = urlsplit(self.path)
        token, _, route = address.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            return _refusal(
                HTTPStatus.FORBIDDEN,
                "this address lacks the token of the page; open the whole one that gcd-hpc browse"
                " printed",
            )
        query = {
            name: values[-1]
            for name, values in parse_qs(address.query, keep_blank_values=True).items()
        }
        try:
            answer = self.server.pages.answer(route, query)
        except GcdError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        if answer is None:
            return _refusal(
                HTTPStatus.NOT_FOUND,
                "the page has no such address; open the one that gcd-hpc browse printed",
            )
        return HTTPStatus.OK, answer


def _refusal(status: HTTPStatus, text: str) -> tuple[HTTPStatus, Answer]:
    return status, json_answer({"error": text})
