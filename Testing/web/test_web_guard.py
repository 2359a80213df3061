"""Who may come in: by real requests to a real aiohttp server, without trame."""

import asyncio

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

from FetalPoseWeb import guard as guards
from FetalPoseWeb.guard import Guard, new_secret

WAIT_S = 60  # of every test, on a busy computer


def served(check, **options):
    """Run a test of a server that has the guard before a page, a websocket and a file."""
    guard = Guard(options.pop("secret", "right"), **options)

    async def page(request):
        return web.Response(text="the page")

    async def socket(request):
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await response.send_str(message.data)
        return response

    async def run():
        app = web.Application(middlewares=[guard.middleware()])
        app.add_routes([web.get("/", page), web.get("/index.html", page), web.get("/ws", socket)])
        app.add_routes([web.get("/file", page), web.post("/enter", page)])
        async with TestClient(TestServer(app)) as client:
            await check(client, guard)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def own(client) -> dict:
    return {"Origin": str(client.make_url("/")).rstrip("/")}


@pytest.mark.parametrize("query", ["", "?secret=", "?secret=wrong", "?secret=wslink-secret", "?secret=Right"])
@pytest.mark.parametrize("path", ["/", "/index.html", "/ws", "/file"])
def test_nothing_is_served_without_the_secret(path, query):
    async def check(client, _guard):
        response = await client.get(path + query, allow_redirects=False, headers=own(client))
        assert response.status == 403
        assert "the page" not in await response.text()

    served(check)


def test_secret_becomes_a_cookie_that_scripts_and_other_sites_do_not_get():
    async def check(client, guard):
        response = await client.get("/?secret=right")
        assert response.status == 200
        cookie = response.cookies[guard.cookie]
        assert cookie["httponly"] and cookie["samesite"] == "Strict"
        assert (await client.get("/file")).status == 200  # from here on without the secret in the address
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]

    served(check)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/ws"), ("POST", "/enter"), ("GET", "/file")])
def test_other_sites_are_refused_even_with_the_cookie(origin, method, path):
    async def check(client, _guard):
        await client.get("/?secret=right")
        response = await client.request(method, path, headers={"Origin": origin})
        assert response.status == 403 and "another site" in await response.text()

    served(check)


def test_websocket_without_an_origin_is_refused():
    async def check(client, _guard):
        await client.get("/?secret=right")
        assert (await client.get("/ws")).status == 403

    served(check)


def test_another_name_of_this_computer_is_refused():
    """A site whose name is made to lead to this computer comes under that name."""

    async def check(client, _guard):
        response = await client.get("/?secret=right", headers={"Host": "evil.example"})
        assert response.status == 403 and "evil.example" in await response.text()

    served(check)


def test_proxys_address_is_an_origin_of_ours():
    async def check(client, guard):
        headers = {"Host": "pose.example", "X-Forwarded-Proto": "https"}
        response = await client.get("/?secret=right", headers=headers)
        assert response.status == 200 and response.cookies[guard.cookie]["secure"]
        headers |= {"Origin": "https://pose.example", "Cookie": f"{guard.cookie}=right"}
        assert (await client.post("/enter", headers=headers)).status == 200

    served(check, origins=("https://pose.example",))


def test_page_that_is_loaded_again_asks_whether_it_is_free():
    async def check(client, _guard):
        await client.get("/?secret=right")
        response = await client.get("/index.html", allow_redirects=False)
        assert response.status == 302 and response.headers["Location"] == "./"

    served(check)


def test_second_page_is_refused_until_the_first_is_gone(monkeypatch):
    monkeypatch.setattr(guards, "LEAVE_S", 0.05)

    async def check(client, guard):
        told = []
        guard.on_open, guard.on_close = lambda: told.append("open"), lambda: told.append("close")
        await client.get("/?secret=right")
        first = await client.ws_connect("/ws", headers=own(client))
        assert not await guard.free()
        refused = await client.get("/ws", headers=own(client))
        assert refused.status == 409 and "another tab" in await refused.text()
        await first.send_str("still there")
        assert (await first.receive()).data == "still there"
        monkeypatch.setattr(guards, "LEAVE_S", WAIT_S)
        await first.close()
        second = await client.ws_connect("/ws", headers=own(client))
        assert told == ["open", "close", "open"]
        await guard.take()  # a third page goes on, the second one ends
        assert (await second.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        assert await guard.free() and told[-1] == "close"

    served(check)


def test_secrets_are_long_and_differ():
    assert len({new_secret() for _ in range(100)}) == 100
    assert min(len(new_secret()) for _ in range(100)) >= 43  # 256 bits
    assert Guard("x").cookie != Guard("x").cookie


def test_of_two_pages_that_wait_for_the_same_place_one_is_refused(monkeypatch):
    monkeypatch.setattr(guards, "LEAVE_S", WAIT_S / 3)

    async def check(client, guard):
        await client.get("/?secret=right")
        first = await client.ws_connect("/ws", headers=own(client))

        async def wait():
            try:
                return await client.ws_connect("/ws", headers=own(client))
            except WSServerHandshakeError as error:
                return error.status

        waiting = asyncio.gather(wait(), wait())
        await asyncio.sleep(0.1)
        await first.close()
        assert [answer for answer in await waiting if isinstance(answer, int)] == [409]

    served(check)
