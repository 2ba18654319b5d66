"""A link between a client and the gateway that takes its time, as a TCP proxy.

What comes in at one end leaves at the other after the delay, in both directions; so does the end of a connection, in
order or by a reset. It counts the requests that pass, so that a client's repetitions are seen.
"""

import queue
import re
import socket
import struct
import threading
import time

# The first line of a request; the bodies of these tests hold nothing of the kind.
REQUEST_LINE = re.compile(rb"(?:GET|POST) /\S* HTTP/1\.1\r\n")
# More than the longest first line.
OVERLAP = 4096


class Link:
    """Use it as a context manager; `port` is where the client is to go."""

    def __init__(self, target_port, delay=0.05):
        self.target_port = target_port
        self.delay = delay
        self.attempts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.threads = []
        self.lock = threading.Lock()

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        # Wakes the threads that wait on these sockets.
        with self.lock:
            ends = [self.listener, *self.sockets]
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            threads = list(self.threads)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of the link does not end"
        for end in ends:
            end.close()

    def _start(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        with self.lock:
            self.threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target_port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.sockets += [client, server]
            for source, target, count in ((client, server, True), (server, client, False)):
                waiting = queue.Queue()
                self._start(self._read, source, waiting, count)
                self._start(self._write, target, waiting)

    def _read(self, source, waiting, count):
        tail = b""
        while True:
            try:
                data = source.recv(65536)
            except OSError:
                data = None
            if data and count:
                seen = len(REQUEST_LINE.findall(tail))
                tail += data
                found = len(REQUEST_LINE.findall(tail)) - seen
                tail = tail[-OVERLAP:]
                with self.lock:
                    self.attempts += found
            waiting.put((time.monotonic() + self.delay, data))
            if not data:
                return

    def _write(self, target, waiting):
        while True:
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if data is None:
                    # What follows `close` is a reset.
                    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    target.shutdown(socket.SHUT_RD)
                    target.close()
                    return
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                # The other side is gone; what is still on its way to it is lost, as on a real link.
                return
