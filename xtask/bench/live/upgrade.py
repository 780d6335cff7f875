"""`live.py upgrade`: the binary of a proxy is replaced again and again, and each time a new process takes over in the proxy's own way."""

import tempfile, time

from clients import UPGRADE, Asking, Held, Load, tallied
from origin import origins
from proxies import Proxy, certificate, free
from streams import Streams

HEAD = """| proxy | taken over | HTTP/1.1, 8 connections: requests | each on a new connection | HTTP/2, h2load until its first GOAWAY | HTTP/2, 8 streams | WebSocket lost | tunnel lost | memory, MiB |
|---|---|---|---|---|---|---|---|---|"""

# Between two of them; in seconds.
PERIOD = 5
# For the last predecessors to leave: ours give idle connections ten seconds.
LEAVING = 15


def upgrade_run(name, binary, seconds, held):
    """`held`: whether a WebSocket and a tunnel are kept open through all of it."""
    echo_port = free()
    ports, servers = origins(1, echo_port)
    with tempfile.TemporaryDirectory() as folder:
        certificate(folder)
        proxy = Proxy(name, binary, folder, ports, echo_port, replaceable=True)
        try:
            until = time.time() + seconds
            load = Load(proxy, seconds)
            anew, streams = Asking(proxy.http, "GET", until - 0.5, anew=True), Streams(proxy.https, until - 0.5)
            socket = Held(proxy.http, UPGRADE, until - 0.5) if held else None
            tunnel = Held(proxy.tcp, None, until - 0.5) if held and proxy.has_tunnel else None
            time.sleep(3)
            before, tried, taken, most, crowd = proxy.memory(), 0, 0, 0.0, 0
            while time.time() < until - 2:
                began = time.time()
                tried += 1
                proxy.replace()
                taken += proxy.upgrade()
                most, crowd = max(most, proxy.memory()), max(crowd, len(proxy.family()))
                time.sleep(max(0.0, PERIOD - (time.time() - began)))
            h1, h2 = load.said()
            anew.join(), streams.join()
            lost = [one.seen() if one else "none here" for one in (socket, tunnel)]
            time.sleep(LEAVING)
            after, left = proxy.memory(), len(proxy.family())
        finally:
            proxy.stop()
            [server.kill() for server in servers]
    again = f", {streams.again} asked again" if streams.again else ""
    cells = [f"{taken} of {tried}", h1, f"{anew.good}; {tallied([anew.bad])} failed", h2, f"{streams.good}; {tallied([streams.bad])} failed{again}", *lost,
             f"{before:.1f} → {after:.1f} (most {most:.1f} in {crowd} processes; {left} at the end)"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
