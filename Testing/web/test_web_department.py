"""One process a person behind deploy/'s proxy, on loopback: two people see nothing of each other. And the idle end."""

import asyncio
import base64
import gc
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
from web_page import WAIT_S, Server

from FetalPoseLib.resources import resource_path

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf.template"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
LIMIT = aiohttp.ClientTimeout(WAIT_S)  # of a request
SECRETS = {"alice": "a" * 40, "bob": "b" * 40}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.fixture
def department(tmp_path):
    """The proxy's address, and each person's server."""
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("no nginx or no openssl here: install Debian's")
    port = free_port()
    origin = f"https://localhost:{port}"
    servers = {
        name: Server(tmp_path / name, plan={}, secret=secret, origins=[origin]) for name, secret in SECRETS.items()
    }
    text = TEMPLATE.read_text().replace("listen 8443", f"listen 127.0.0.1:{port}").replace("/etc/nginx", str(tmp_path))
    for name, server in servers.items():
        address = server.address.split("/?")[0].removeprefix("http://")
        text = text.replace(f"pose-{name}:8080", address).replace(f"${{{name.upper()}_SECRET}}", SECRETS[name])
    text = text.replace("events {}", f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}")
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = text.replace("http {\n", f"http {{\n    {kind}_temp_path {tmp_path}/{kind};\n", 1)
    (tmp_path / "nginx.conf").write_text(text)
    (tmp_path / "passwords").write_text("".join(f"{name}:{{PLAIN}}of {name}\n" for name in servers))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"],
        check=True, capture_output=True, timeout=WAIT_S,
    )  # fmt: skip
    command = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off; user root;"]
    proxy = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + WAIT_S
    while True:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert proxy.poll() is None, proxy.stderr.read()
        assert time.monotonic() < end, f"nginx did not listen on port {port} within {WAIT_S} s"
        time.sleep(0.05)
    yield origin, servers
    proxy.terminate()
    proxy.wait(WAIT_S)
    for server in servers.values():
        server.close()


def person(name: str | None, origin: str) -> aiohttp.ClientSession:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    headers = {"Origin": origin}
    if name:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{name}:of {name}".encode()).decode()
    return aiohttp.ClientSession(origin, connector=aiohttp.TCPConnector(ssl=trusting), headers=headers, timeout=LIMIT)


async def upload(session, path) -> str:
    async with session.post("/uploads") as answer:
        number = (await answer.json())["number"]
    async with session.put(
        f"/uploads/{number}", data=path.read_bytes(), headers={"X-Name": "alices%20case.nrrd"}
    ) as sent:
        assert sent.status == 200, await sent.text()
    return number


def test_two_people_see_nothing_of_each_other(department):
    origin, servers = department

    async def check():
        async with person("alice", origin) as alice, person("bob", origin) as bob, person(None, origin) as stranger:
            for path in ("/", "/index.html?secret=" + SECRETS["alice"], "/download/pose", "/ws"):
                assert (await stranger.get(path)).status == 401
            number = await upload(alice, resource_path("sample", "sample.nrrd"))
            assert servers["alice"].ask("files").count("upload-1/00000.nrrd") == 1
            assert not any(name.startswith("upload") for name in servers["bob"].ask("files"))
            assert (await bob.post(f"/uploads/{number}/volume")).status == 404
            answer = await alice.post(f"/uploads/{number}/volume")
            assert await answer.json() == {"opened": "alices case.nrrd"}
            assert servers["alice"].ask("volume") == "alices case.nrrd" and servers["bob"].ask("volume") == ""
            # whoever bob says he is, he reaches his own server only
            headers = {"X-FetalPose-Secret": SECRETS["alice"], "Cookie": f"fetalpose={SECRETS['alice']}"}
            entered = await (await bob.post("/enter", headers=headers)).json()
            assert SECRETS["bob"] in entered["page"] and SECRETS["alice"] not in entered["page"]
            assert (await bob.post("/enter", headers={"Origin": "https://evil.example"})).status == 403

    asyncio.run(check())


def test_nobody_reaches_a_server_past_the_proxy_without_its_secret(department):
    _, servers = department

    async def check():
        async with aiohttp.ClientSession(timeout=LIMIT) as session:
            for server in servers.values():
                assert (await session.get(server.address.split("?")[0])).status == 403

    asyncio.run(check())


def test_server_that_nobody_uses_ends_and_leaves_nothing(tmp_path):
    folder = tmp_path / "state"
    server = Server(folder, plan={}, idle_min=0.02, forget=True)
    assert server.process.wait(WAIT_S) == 0
    server.close()
    assert list(folder.iterdir()) == []


def test_page_that_closes_while_a_frame_is_sent_is_no_error_in_the_log(caplog):
    from FetalPoseWeb.application import log_unless_page_closed

    async def check():
        asyncio.get_running_loop().set_exception_handler(log_unless_page_closed)
        for error in (aiohttp.ClientConnectionResetError("a page closed"), ValueError("a fault of ours")):
            task = asyncio.get_running_loop().create_future()
            task.set_exception(error)
            del task, error  # nobody asks how it ended
            gc.collect()

    asyncio.run(check())
    assert "a fault of ours" in caplog.text and "a page closed" not in caplog.text
