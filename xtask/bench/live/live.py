#!/usr/bin/env python3
"""What clients notice while a proxy is reloaded, or its servers are restarted: `live.py reload` and `live.py restart`; and what ours costs more with
another protocol, balance, or many servers to look at: `live.py cost`.

The same for all proxies, one after the other, on loopback: their own way to reload, their own defaults. Prints a table. Needs wrk, h2load and openssl;
proxies as NAME=PATH (portcullis, nginx, haproxy, caddy). Ends what it starts."""

import argparse, os, re, shutil, subprocess, tempfile, time

from clients import UPGRADE, Asking, Held
from cost import cost_run
from origin import origins, start_origin
from proxies import Proxy, certificate, free


def reload_run(name, binary, seconds):
    echo_port = free()
    ports, servers = origins(1, echo_port)
    with tempfile.TemporaryDirectory() as folder:
        certificate(folder)
        proxy = Proxy(name, binary, folder, ports, echo_port)
        try:
            until = time.time() + seconds
            wrk = subprocess.Popen(["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", "Host: plain.test", f"http://127.0.0.1:{proxy.http}/"], stdout=subprocess.PIPE, text=True)
            h2load = subprocess.Popen(["h2load", "-t1", "-c4", "-m8", "-D", str(seconds), "--connect-to", f"127.0.0.1:{proxy.https}", f"https://localhost:{proxy.https}/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
            said, said2 = wrk.communicate()[0], h2load.communicate()[0]
            socket_held.join()
            tunnel and tunnel.join()
            time.sleep(2)
            after = proxy.memory()
        finally:
            proxy.stop()
            [server.kill() for server in servers]
    found = re.search(r"Socket errors: (.*)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    served = re.search(r"(\d+) requests in", said).group(1)
    h1 = f"{served}; {found.group(1) if found else 'no errors'}" + (f"; not 2xx: {bad.group(1)}" if bad else "")
    h2 = re.search(r"requests: (.*)", said2)
    h2 = re.sub(r"\d+ total, |, \d+ (started|done)|\d+ started, |\d+ done, ", "", h2.group(1)) if h2 else "?"
    lost = lambda held: f"{held.lost} of {held.said}" if held else "none here"
    print(f"| {name} | {reloads} ({refused} refused) | {h1} | {h2} | {lost(socket_held)} | {lost(tunnel)} | {before:.1f} → {after:.1f} (most {most:.1f}) |", flush=True)


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
        bad = {}
        for one in of:
            for what, count in one.bad.items():
                bad[what] = bad.get(what, 0) + count
        shown = ", ".join(f"{count} × {what}" for what, count in sorted(bad.items())) or "0"
        cells.append(f"{sum(one.good for one in of)} | {shown}")
    print(f"| {name} | {restarts} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["reload", "restart", "cost"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--proxy", action="append", default=[], metavar="NAME=PATH")
    given = parser.parse_args()
    print({"reload": "| proxy | reloads | HTTP/1.1, 8 connections: requests | HTTP/2, 4 × 8 streams | WebSocket lost | tunnel lost | memory, MiB |\n|---|---|---|---|---|---|---|",
           "restart": "| proxy | restarts | GET good | GET failed | POST good | POST failed |\n|---|---|---|---|---|---|",
           "cost": "| upstream | CPU |\n|---|---|"}[given.what])
    for one in given.proxy:
        name, binary = one.split("=", 1)
        # Proxies are started in folders of their own.
        binary = os.path.abspath(shutil.which(binary) or binary)
        if given.what == "cost":
            cost_run(binary, given.seconds)
        else:
            {"reload": reload_run, "restart": restart_run}[given.what](name, binary, given.seconds)


if __name__ == "__main__":
    main()
