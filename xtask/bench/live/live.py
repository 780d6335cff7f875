#!/usr/bin/env python3
"""What clients notice while a proxy is reloaded, its binary is replaced, or its servers are restarted: `live.py reload`, `upgrade` and `restart`; and what
ours costs more with another protocol, balance, or many servers to look at: `live.py cost`.

The same for all proxies, one after the other, on loopback: their own way to do it, their own defaults. Prints a table. Needs wrk, h2load and openssl;
proxies as NAME=PATH (portcullis, nginx, haproxy, caddy). Ends what it starts."""

import argparse, os, shutil, tempfile, time

from clients import UPGRADE, Asking, Held, Load, tallied
from cost import cost_run
from origin import origins, start_origin
from proxies import Proxy, certificate, free
from upgrade import HEAD, upgrade_run


def reload_run(name, binary, seconds):
    echo_port = free()
    ports, servers = origins(1, echo_port)
    with tempfile.TemporaryDirectory() as folder:
        certificate(folder)
        proxy = Proxy(name, binary, folder, ports, echo_port)
        try:
            until = time.time() + seconds
            load = Load(proxy, seconds)
            socket_held = Held(proxy.http, UPGRADE, until - 0.5)
            tunnel = Held(proxy.tcp, None, until - 0.5) if proxy.has_tunnel else None
            time.sleep(3)
            before, reloads, refused, most = proxy.memory(), 0, 0, 0.0
            while time.time() < until - 2:
                began = time.time()
                reloads += 1
                proxy.write(reloads)
                refused += proxy.reload() != 0
                most = max(most, proxy.memory())
                time.sleep(max(0.0, 1 - (time.time() - began)))
            h1, h2 = load.said()
            lost = [held.seen() if held else "none here" for held in (socket_held, tunnel)]
            time.sleep(2)
            after = proxy.memory()
        finally:
            proxy.stop()
            [server.kill() for server in servers]
    print(f"| {name} | {reloads} ({refused} refused) | {h1} | {h2} | {' | '.join(lost)} | {before:.1f} → {after:.1f} (most {most:.1f}) |", flush=True)


def restart_run(name, binary, seconds):
    ports, servers = origins(3, 0)
    with tempfile.TemporaryDirectory() as folder:
        certificate(folder)
        proxy = Proxy(name, binary, folder, ports, ports[0])
        try:
            time.sleep(1)
            until = time.time() + seconds
            asking = [Asking(proxy.http, method, until) for method in ["GET"] * 6 + ["POST"] * 2]
            restarts = 0
            while time.time() < until - 2:
                index = restarts % 3
                servers[index].terminate()
                servers[index].wait()
                time.sleep(0.5)
                servers[index] = start_origin(ports[index], 0)
                restarts += 1
                time.sleep(0.8)
            [one.join() for one in asking]
        finally:
            proxy.stop()
            [server.kill() for server in servers]
    cells = []
    for method in ["GET", "POST"]:
        of = [one for one in asking if one.method == method]
        cells.append(f"{sum(one.good for one in of)} | {tallied([one.bad for one in of])}")
    print(f"| {name} | {restarts} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["reload", "upgrade", "restart", "cost"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--no-tunnels", action="store_true", help="upgrade: without a WebSocket and a tunnel that stay open")
    parser.add_argument("--proxy", action="append", default=[], metavar="NAME=PATH")
    given = parser.parse_args()
    print({"reload": "| proxy | reloads | HTTP/1.1, 8 connections: requests | HTTP/2, 4 × 8 streams | WebSocket lost | tunnel lost | memory, MiB |\n|---|---|---|---|---|---|---|",
           "upgrade": HEAD,
           "restart": "| proxy | restarts | GET good | GET failed | POST good | POST failed |\n|---|---|---|---|---|---|",
           "cost": "| upstream | CPU |\n|---|---|"}[given.what])
    for one in given.proxy:
        name, binary = one.split("=", 1)
        # Proxies are started in folders of their own.
        binary = os.path.abspath(shutil.which(binary) or binary)
        if given.what == "cost":
            cost_run(binary, given.seconds)
        elif given.what == "upgrade":
            upgrade_run(name, binary, given.seconds, not given.no_tunnels)
        else:
            {"reload": reload_run, "restart": restart_run}[given.what](name, binary, given.seconds)


if __name__ == "__main__":
    main()
