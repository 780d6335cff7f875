"""Clients that count what they did not get."""

import re, socket, subprocess, threading, time


class Load:
    """wrk on eight connections, h2load on four with eight streams each, both until the time is over."""

    def __init__(self, proxy, seconds):
        self.until = time.time() + seconds
        run = lambda *command: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.wrk = run("wrk", "-t1", "-c8", f"-d{seconds}s", "-H", "Host: plain.test", f"http://127.0.0.1:{proxy.http}/")
        self.h2load = run("h2load", "-t1", "-c4", "-m8", "-D", str(seconds), "--connect-to", f"127.0.0.1:{proxy.https}", f"https://localhost:{proxy.https}/")

    def said(self):
        """What each of them says of it."""
        h1, h2 = self.ended(self.wrk), self.ended(self.h2load)
        errors = re.search(r"Socket errors: (.*)", h1)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", h1)
        served = re.search(r"(\d+) requests in", h1)
        h1 = f"{served.group(1)}; {errors.group(1) if errors else 'no errors'}" + (f"; not 2xx: {bad.group(1)}" if bad else "") if served else "no result"
        h2 = re.search(r"requests: (.*)", h2)
        return h1, re.sub(r"\d+ total, |, \d+ (started|done)|\d+ started, |\d+ done, ", "", h2.group(1)) if h2 else "no result"

    def ended(self, client):
        """What it printed; h2load, when all its connections are lost, can wait for ever."""
        try:
            return client.communicate(timeout=max(1.0, self.until + 15 - time.time()))[0]
        except subprocess.TimeoutExpired:
            client.kill()
            return client.communicate()[0]


class Held(threading.Thread):
    """One connection that is kept and used ten times a second; counts how often it was lost."""

    def __init__(self, port, hello, until):
        super().__init__(daemon=True)
        self.port, self.hello, self.until, self.said, self.lost = port, hello, until, 0, 0
        self.start()

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), 5)
        s.settimeout(5)
        if self.hello:
            s.sendall(self.hello)
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096) or self.gone()
            assert head.startswith(b"HTTP/1.1 101"), head
        return s

    def gone(self):
        raise OSError("closed")

    def run(self):
        s = None
        while time.time() < self.until:
            try:
                s = s or self.connect()
                s.sendall(b"ping")
                back = b""
                while len(back) < 4:
                    back += s.recv(4 - len(back)) or self.gone()
                self.said += 1
            except (OSError, AssertionError):
                self.lost += 1
                s = None
            time.sleep(0.1)

    def seen(self):
        self.join()
        return f"{self.lost} of {self.said}"


UPGRADE = b"GET / HTTP/1.1\r\nHost: plain.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


class Asking(threading.Thread):
    """Asks again and again on one connection, and on a new one after `Connection: close` or an error; `anew`: on a new one each time."""

    def __init__(self, port, method, until, anew=False):
        super().__init__(daemon=True)
        self.port, self.method, self.until, self.anew, self.good, self.bad = port, method, until, anew, 0, {}
        self.start()

    def run(self):
        body = b"x" * 100 if self.method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        close = "Connection: close\r\n" if self.anew else ""
        request = f"{self.method} / HTTP/1.1\r\nHost: plain.test\r\n{length}{close}\r\n".encode() + body
        s = None
        while time.time() < self.until:
            try:
                if s is None:
                    s = socket.create_connection(("127.0.0.1", self.port), 5)
                    s.settimeout(10)
                s.sendall(request)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += s.recv(65536) or self.cut()
                head, rest = answer.split(b"\r\n\r\n", 1)
                wanted = int(re.search(rb"content-length: (\d+)", head.lower()).group(1))
                while len(rest) < wanted:
                    rest += s.recv(65536) or self.cut()
                status = head[9:12].decode()
                if status == "200":
                    self.good += 1
                else:
                    self.count(status)
                if self.anew or b"connection: close" in head.lower():
                    s.close()
                    s = None
            except (OSError, AttributeError) as error:
                self.count(type(error).__name__)
                s = None

    def cut(self):
        raise ConnectionResetError()

    def count(self, what):
        self.bad[what] = self.bad.get(what, 0) + 1


def tallied(all_of_them):
    """What went wrong, of several clients together."""
    bad = {}
    for one in all_of_them:
        for what, count in one.items():
            bad[what] = bad.get(what, 0) + count
    return ", ".join(f"{count} × {what}" for what, count in sorted(bad.items())) or "0"
