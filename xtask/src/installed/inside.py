"""What an operator does with the package, on a machine that runs systemd: inside.py FIRST.deb NEXT.deb. Fails at what is not as it should be."""

import os, pathlib, re, shutil, socket, subprocess, sys, threading, time

CONFIG = pathlib.Path("/etc/portcullis/portcullis.toml")
DROP_IN = pathlib.Path("/etc/systemd/system/portcullis.service.d/watchdog.conf")
SOCKET = pathlib.Path("/etc/systemd/system/portcullis.socket")
PORT, TUNNEL = 8080, 5432


def say(what):
    print(f"  {what}", flush=True)


def run(*command, well=True):
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == well, f"{' '.join(command)}: {done.returncode}\n{said}\n{journal()}"
    return said


def journal():
    return subprocess.run(["journalctl", "--unit=portcullis", "--no-pager", "--lines=40", "--output=cat"], capture_output=True, text=True).stdout


def shown(what):
    return run("systemctl", "show", "--value", f"--property={what}", "portcullis").strip()


def until(what, holds, seconds=20):
    deadline = time.time() + seconds
    while not holds():
        assert time.time() < deadline, f"not in {seconds} s: {what}\n{journal()}"
        time.sleep(0.1)


def ask(port=PORT):
    with socket.create_connection(("127.0.0.1", port), 2) as s:
        s.settimeout(10)
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := s.recv(4096):
            answer += piece
    return answer


class Asking(threading.Thread):
    """A new connection every five milliseconds; counts those without an answer."""

    def __init__(self, port=PORT, status=b"200"):
        super().__init__(daemon=True)
        self.port, self.status, self.good, self.bad, self.ended = port, status, 0, [], False
        self.start()

    def run(self):
        while not self.ended:
            try:
                assert ask(self.port)[9:12] == self.status
                self.good += 1
            except (OSError, AssertionError) as error:
                self.bad.append(repr(error))
            time.sleep(0.005)

    def end(self):
        self.ended = True
        self.join()
        assert self.good > 50 and not self.bad, f"{self.good} good, {len(self.bad)} bad: {self.bad[:3]}\n{journal()}"
        return self.good


def echo():
    """A server of bytes that come back."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(s):
        while piece := s.recv(4096):
            s.sendall(piece)

    def accept():
        while True:
            threading.Thread(target=serve, args=[listening.accept()[0]], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listening.getsockname()[1]


def ping(tunnel):
    tunnel.sendall(b"ping")
    assert tunnel.recv(4, socket.MSG_WAITALL) == b"ping"


def installs(first):
    run("dpkg", "--install", first)
    assert shown("ActiveState") == "active" and b"Portcullis is installed" in ask(), journal()
    status = pathlib.Path(f"/proc/{shown('MainPID')}/status").read_text()
    uid = int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1))
    capabilities = int(re.search(r"^CapEff:\s+(\w+)", status, re.M).group(1), 16)
    assert uid != 0 and capabilities == 1 << 10, status
    assert run("systemctl", "is-enabled", "portcullis").strip() == "enabled"
    # By root, whose state it is not.
    assert "nothing is wrong" in run("portcullis", "check") and "respond" in run("portcullis", "explain", "GET", "http://localhost:8080/")
    say(f"it serves, as user {uid}, and may bind ports below 1024")


def reloads(port):
    plain = CONFIG.read_text()
    CONFIG.write_text(plain + f'\n[tcp."127.0.0.1:{TUNNEL}"]\nto = "echo"\n\n[upstream.echo]\nservers = ["127.0.0.1:{port}"]\n')
    run("systemctl", "reload", "portcullis")
    tunnel = socket.create_connection(("127.0.0.1", TUNNEL), 5)
    ping(tunnel)
    good = CONFIG.read_text()
    CONFIG.write_text(good + "[listn]\n")
    run("systemctl", "reload", "portcullis", well=False)
    assert "did you mean `listen`" in journal(), journal()
    ping(tunnel)
    say("a reload takes a listener over, and refuses what is wrong")
    return tunnel, good


def upgrades(tunnel, good, following):
    """First with a configuration that it cannot start with, then with a good one."""
    before = shown("MainPID")
    asking = Asking()
    said = run("dpkg", "--install", following)
    assert "the version before goes on running" in said and shown("MainPID") == before, said
    CONFIG.write_text(good)
    run("dpkg", "--install", following)
    assert shown("MainPID") != before and shown("NRestarts") == "0", journal()
    ping(tunnel)
    time.sleep(1)
    answered = asking.end()
    ping(tunnel)
    tunnel.close()
    until("only one process", lambda: not os.path.exists(f"/proc/{before}"))
    say(f"the next version took over: {answered} new connections answered, none refused; a tunnel stayed")


def is_watched():
    """By systemd, whose watchdog is made impatient; and the one that took over is heard."""
    until("its own status", lambda: shown("StatusText").startswith("serving generation"), 40)
    DROP_IN.parent.mkdir()
    DROP_IN.write_text("[Service]\nWatchdogSec=2s\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "portcullis")
    run("portcullis", "upgrade")
    time.sleep(5)
    assert shown("NRestarts") == "0" and b"200 OK" in ask(), journal()
    run("kill", "-STOP", shown("MainPID"))
    until("begun anew", lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", 40)
    assert b"200 OK" in ask()
    say("it is begun anew if it does not show that it lives, and left alone if it does")


def finds_sockets():
    """That systemd holds: whoever comes while the proxy is away waits for it."""
    run("systemctl", "stop", "portcullis")
    CONFIG.write_text('[site.localhost]\nroutes = { "/*" = { respond = "hello" } }\n')
    shutil.copy("/usr/share/doc/portcullis/examples/portcullis.socket", SOCKET)
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "portcullis.socket")
    # It is started by who asks.
    asking = Asking(80, b"308")
    until("started", lambda: asking.good > 10)
    run("systemctl", "restart", "portcullis")
    run("portcullis", "upgrade")
    time.sleep(1)
    answered = asking.end()
    assert run("curl", "--silent", "--cacert", "/var/lib/portcullis/ca/root.pem", "https://localhost/") == "hello"
    run("systemctl", "disable", "--now", "portcullis.socket")
    SOCKET.unlink()
    say(f"with sockets of systemd's it is started and restarted and {answered} new connections notice nothing; https with a certificate of its CA")


def leaves():
    run("dpkg", "--remove", "portcullis")
    assert shown("ActiveState") != "active" and CONFIG.exists()
    run("dpkg", "--purge", "portcullis")
    places = ["/etc/portcullis", "/var/lib/portcullis", "/var/lib/private/portcullis", "/usr/bin/portcullis"]
    left = [place for place in places if os.path.lexists(place)]
    assert not left, left
    say("purged, it leaves nothing")


def main(first, following):
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    installs(first)
    tunnel, good = reloads(echo())
    upgrades(tunnel, good, following)
    is_watched()
    finds_sockets()
    leaves()


main(*sys.argv[1:])
