"""Who is answered and what: asked in plain HTTP, as an attacker or a broken browser might."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from gcd_hpc.browse.page import server as server_module
from gcd_hpc.browse.page.server import PageServer
from gcd_hpc.errors import StoreError
from tests.browse.page.conftest import BEST


@pytest.fixture
def ask(served):
    """Status, headers and body of a raw request; the token and the right host are filled in where
    the request leaves gaps.
    """

    def send(line, host=None, more=""):
        text = (
            f"{line.format(token=served.token)} HTTP/1.1\r\nHost:"
            f" {host or f'127.0.0.1:{served.server_port}'}\r\n{more}\r\n"
        )
        return exchange(served, text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))

    return send


def exchange(served, text):
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=20) as connection:
        connection.sendall(text.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return (
        int(status.split()[1]),
        {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)},
        body,
    )


def test_the_page_is_there_under_its_address(ask):
    status, headers, body = ask("GET /{token}/")
    assert (
        status == 200
        and headers["content-type"] == "text/html; charset=utf-8"
        and b"3Dmol-min.js" in body
    )


def test_localhost_is_another_name_of_the_same_host(ask, served):
    assert ask("GET /{token}/api/version", host=f"localhost:{served.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/wrong/", "/api/state", "//", "/wrong/api/state", "/%7Btoken%7D/", "/ключ/"]
)
def test_without_the_token_everything_is_forbidden(ask, path):
    status, _, body = ask(f"GET {path}")
    assert status == 403 and "lacks the token" in json.loads(body)["error"]


def test_part_of_the_token_and_the_token_elsewhere_do_not_do(ask, served):
    assert ask(f"GET /{served.token[:-1]}/")[0] == 403
    assert ask(f"GET /{served.token}x/")[0] == 403
    assert ask(f"GET /?token={served.token}")[0] == 403


def test_tokens_are_new_each_time_and_long(run):
    with PageServer(run) as one, PageServer(run) as other:
        assert one.token != other.token and len(one.token) >= 32


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "192.168.0.1:{port}",
        "localhost.evil:{port}",
    ],
)
def test_other_hosts_are_refused_even_with_the_token(ask, served, host):
    status, _, body = ask("GET /{token}/api/state", host=host.format(port=served.server_port))
    assert status == 403 and b"only shown at the address" in body


def test_no_host_and_two_hosts_are_refused(served):
    line = f"GET /{served.token}/api/version HTTP/1.1\r\n"
    right = f"Host: 127.0.0.1:{served.server_port}\r\n"
    assert exchange(served, f"{line}Connection: close\r\n\r\n")[0] == 403
    assert (
        exchange(served, f"{line}{right}Host: evil.example\r\nConnection: close\r\n\r\n")[0] == 403
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_methods_that_could_write_are_refused(ask, method):
    assert ask(f"{method} /{{token}}/api/state", more="Content-Length: 0\r\n")[0] == 405


def test_unheard_of_methods_are_refused(ask):
    assert ask("BREW /{token}/api/state")[0] == 501


@pytest.mark.parametrize("line", ["POST /{token}/", "BREW /{token}/", "GET /{token}/ a b"])
def test_refusals_of_the_server_itself_carry_the_policy_too(ask, line):
    status, headers, body = ask(line, more="Content-Length: 0\r\n")
    assert status in (400, 405, 501)
    assert json.loads(body)["error"]
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"


def test_connections_beyond_the_limit_are_ended_and_those_before_go_on(run, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    with PageServer(run) as served, ExitStack() as clients:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        host, port = "127.0.0.1", served.server_port
        line = f"GET /{served.token}/api/version HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"

        def connect():
            return clients.enter_context(socket.create_connection((host, port), timeout=20))

        first, second = connect(), connect()
        assert connect().recv(1) == b""
        first.sendall(line.encode())
        assert first.recv(12) == b"HTTP/1.1 200"
        second.close()
        deadline, answer = time.monotonic() + 20, b""
        while not answer and time.monotonic() < deadline:
            later = connect()
            with suppress(ConnectionError):
                later.sendall(line.encode())
                answer = later.recv(12)
        assert answer == b"HTTP/1.1 200"
        served.shutdown()


PATHS = [
    *[
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "static/page.js",
        "page.html",
        "parts/search/part-00000.h5",
    ],
    *["events.jsonl", "campaign.yaml", "api", "api/", "api/state/", "api/../page.js", "API/state"],
]


@pytest.mark.parametrize("path", PATHS)
def test_paths_other_than_the_pages_own_are_refused(ask, path):
    status, headers, body = ask(f"GET /{{token}}/{path}")
    assert (
        status == 404
        and headers["content-type"].startswith("application/json")
        and b"root:" not in body
    )


@pytest.mark.parametrize("query", ["id=../../etc/passwd", "id=/etc/passwd", "", "id=%00"])
def test_a_structure_is_an_id_and_never_a_file(ask, query):
    status, _, body = ask(f"GET /{{token}}/api/structure?{query}")
    assert status == 400 and "candidates has the id" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("api/rows?first=-1", "first must be a whole number"),
        ("api/rows?num=x", "num must be a whole number"),
        ("api/figure?what=passwd", "what must be one of"),
        ("api/download?form=exe&id=search-000001", "the format must be one of"),
    ],
)
def test_a_wrong_question_gets_one_sentence(ask, route, problem):
    status, _, body = ask(f"GET /{{token}}/{route}")
    assert status == 400 and problem in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("api/rows?select=colour=red", "expected one of n, energy"),
        ("api/rows?sort=registry", "expected one of n, energy"),
        ("api/points?select=energy<x", "expected a number"),
        ("api/figure?what=timeline", "is not the run directory"),
    ],
)
def test_what_is_not_complete_yet_is_answered_with_what_is_missing(ask, route, problem):
    status, _, body = ask(f"GET /{{token}}/{route}")
    assert (
        status == 200
        and list(json.loads(body)) == ["error"]
        and problem in json.loads(body)["error"]
    )


def test_the_policy_lets_nothing_in_from_elsewhere(ask):
    for path in ("", "page.js", "api/state", "nonsense"):
        _, headers, _ = ask(f"GET /{{token}}/{path}")
        policy = headers["content-security-policy"]
        assert (
            "default-src 'none'" in policy
            and "script-src 'self';" in policy
            and "http" not in policy
            and "eval" not in policy
        )
        assert (
            headers["referrer-policy"] == "no-referrer"
            and headers["x-content-type-options"] == "nosniff"
        )
        assert (
            headers["cross-origin-resource-policy"] == "same-origin"
            and "access-control-allow-origin" not in headers
        )


def test_head_is_get_without_the_body(ask):
    status, headers, body = ask("HEAD /{token}/api/state")
    assert status == 200 and int(headers["content-length"]) > 100 and body == b""


def test_a_figure_is_svg_without_scripts(ask):
    status, headers, body = ask("GET /{token}/api/figure?what=egb-n")
    assert (
        status == 200
        and headers["content-type"] == "image/svg+xml"
        and b"<script" not in body
        and b"</svg>" in body
    )


def test_registries_of_the_points_lie_in_the_cell_in_which_they_repeat(ask):
    _, _, body = ask("GET /{token}/api/points")
    ids = {row[0] for row in json.loads(body)["rows"]}
    _, _, body = ask("GET /{token}/api/registries")
    found = json.loads(body)
    (width, _), (_, height) = found["cell"]
    assert found["places"].keys() == ids
    for across, up in found["places"].values():
        assert 0 <= across <= width and 0 <= up <= height
    _, _, body = ask("GET /{token}/api/registries?select=source=mod")
    assert "did you mean" in json.loads(body)["error"]


def test_failures_are_counted_by_reason(ask):
    _, _, body = ask("GET /{token}/api/failures")
    assert [(row["class"], row["num"]) for row in json.loads(body)] == [("physics", 6)]


def test_a_download_is_named_after_the_candidate(ask):
    status, headers, body = ask(f"GET /{{token}}/api/download?form=poscar&id={BEST}")
    assert (
        status == 200
        and headers["content-disposition"] == f'attachment; filename="{BEST}.poscar"'
        and body
    )


def test_only_this_machine_is_served(served):
    assert served.server_address[0] == "127.0.0.1" and served.url.startswith(
        f"http://127.0.0.1:{served.server_port}/"
    )


def test_a_port_that_is_taken_is_said(run, served):
    with pytest.raises(StoreError, match=f"--port {served.server_port}: cannot be used on"):
        PageServer(run, served.server_port)


FIRST_VIEW = """
import sys
for name in ("matplotlib", "ase.io", "scipy.optimize", "scipy.ndimage", "torch", "parsl"):
    sys.modules[name] = None
from pathlib import Path
from gcd_hpc.browse.page.server import PageServer
with PageServer(Path(sys.argv[1])) as server:
    server.pages.prepare()
    print(server.pages.contents.state()["num"])
"""


def test_the_first_view_needs_none_of_the_packages_that_draw_or_write_files(run):
    # They take longer to import than a million candidates take to read.
    line = [sys.executable, "-c", FIRST_VIEW, str(run)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("60", 0), done.stderr
