"""The vendors' own hosts, as the gateway finds them: a proxy leads their names to the simulated provider.

It ends TLS with certificates of an authority made for the tests, so that `https://api.anthropic.com` in a configuration
means no server outside of this machine. Any other name is refused.
"""

import asyncio
import ssl
import threading
import urllib.parse

import trustme

HOSTS = ("api.anthropic.com", "api.openai.com")


class Vendors:
    """Use it as a context manager; `proxy` is for HTTPS_PROXY, `roots` for SSL_CERT_FILE."""

    def __init__(self, sim_url, folder):
        self.target = urllib.parse.urlsplit(sim_url)
        authority = trustme.CA()
        self.roots = str(folder / "vendors.pem")
        authority.cert_pem.write_to_path(self.roots)
        self.tls = {}
        for host in HOSTS:
            self.tls[f"{host}:443"] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(host).configure_cert(context)
            context.set_alpn_protocols(["http/1.1"])
        # What was asked for, right or wrong.
        self.asked = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        started = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.server = asyncio.run_coroutine_threadsafe(started, self.loop).result(10)
        self.proxy = "http://127.0.0.1:{}".format(self.server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        assert not self.thread.is_alive(), "the vendors do not end"
        self.loop.close()

    async def _end(self):
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.asked.append(target)
            if method != "CONNECT" or target not in self.tls:
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self.tls[target])
            their_reader, their_writer = await asyncio.open_connection(self.target.hostname, self.target.port)
            await asyncio.gather(copy(reader, their_writer), copy(their_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            # Whoever left has left; what that means for a request is seen by the client.
            pass
        finally:
            writer.close()


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
