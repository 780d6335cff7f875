#!/usr/bin/env python3
"""What clients notice while a proxy is reloaded, or its servers are restarted: `live.py reload` and `live.py restart`; and what ours costs more with
another protocol, balance, or many servers to look at: `live.py cost`.

The same for all proxies, one after the other, on loopback: their own way to reload, their own defaults. Prints a table. Needs wrk, h2load and openssl;
proxies as NAME=PATH (portcullis, nginx, haproxy, caddy). Ends what it starts."""

import argparse, asyncio, os, re, shutil, signal, socket, ssl, subprocess, sys, tempfile, threading, time

ONE_KIB = b"x" * 1024


# --- the origin: 1 KiB for every request, an echo after an upgrade, and an echo of its own for tunnels

async def converse(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = head.lower()
            length = re.search(rb"content-length: (\d+)", fields)
            if length:
                await reader.readexactly(int(length.group(1)))
            if b"upgrade: " in fields:
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
                return await echo(reader, writer)
            # Whoever stops says so in its last answers.
            last = b"Connection: close\r\n" if STOPPING.is_set() else b""
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n" + last + b"\r\n" + ONE_KIB)
            await writer.drain()
            if last:
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


STOPPING = asyncio.Event()


async def origin(http, tcp):
    server = await asyncio.start_server(converse, "127.0.0.1", http, reuse_port=True, backlog=1024)
    if tcp:
        await asyncio.start_server(echo, "127.0.0.1", tcp)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, STOPPING.set)
    await STOPPING.wait()
    server.close()
    # What runs has its answer; idle connections close with the process.
    await asyncio.sleep(0.2)


# --- proxies

def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Proxy:
    def __init__(self, name, binary, folder, servers, echo_port):
        self.name, self.binary, self.folder, self.servers, self.echo = name, binary, folder, servers, echo_port
        self.http, self.https, self.tcp, self.admin = free(), free(), free(), free()
        self.kind = name.split("-")[0]
        self.write(0)
        self.log = open(f"{folder}/log", "w")
        self.process = subprocess.Popen(self.command(), cwd=folder, stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.http), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{name} does not listen; see {folder}/log")

    has_tunnel = property(lambda self: self.kind != "caddy")

    def command(self):
        return {
            "portcullis": [self.binary, "run", "p.toml"],
            "nginx": [self.binary, "-e", "stderr", "-p", self.folder, "-c", f"{self.folder}/nginx.conf", "-g", "daemon off;"],
            "haproxy": [self.binary, "-W", "-S", f"{self.folder}/master", "-f", "haproxy.cfg"],
            "caddy": [self.binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        }[self.kind]

    def reload(self):
        """Its exit code."""
        if self.kind == "haproxy":
            self.process.send_signal(signal.SIGUSR2)
            return 0
        command = {
            "portcullis": [self.binary, "reload", "p.toml"],
            "nginx": [*self.command()[:7], "-s", "reload"],
            "caddy": [self.binary, "reload", "--config", "Caddyfile", "--adapter", "caddyfile", "--address", f"127.0.0.1:{self.admin}"],
        }[self.kind]
        return subprocess.run(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=self.log).returncode

    def write(self, revision):
        servers, at = [f"127.0.0.1:{port}" for port in self.servers], "127.0.0.1"
        if self.kind == "portcullis":
            quoted = ", ".join(f'"{server}"' for server in servers)
            text = f"""[server]
workers = 2
state = "state"
access-log = "off"
watch = false
[listen]
http = ["{at}:{self.http}"]
https = ["{at}:{self.https}"]
[tcp."{at}:{self.tcp}"]
to = "echo"
[site.localhost]
tls = {{ cert = "cert.pem", key = "key.pem" }}
headers = {{ response.set = {{ x-rev = "{revision}" }} }}
routes = {{ "/*" = "app" }}
[site."plain.test"]
tls = "off"
headers = {{ response.set = {{ x-rev = "{revision}" }} }}
routes = {{ "/*" = "app" }}
[upstream.app]
servers = [{quoted}]
[upstream.echo]
servers = ["{at}:{self.echo}"]
"""
            file = "p.toml"
        elif self.kind == "nginx":
            listed = " ".join(f"server {server};" for server in servers)
            text = f"""worker_processes 2; pid nginx.pid; {self.stream_module()}
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  upstream app {{ {listed} keepalive 64; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{ listen {at}:{self.http}; listen {at}:{self.https} ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade; add_header x-rev {revision}; }} }} }}
stream {{ server {{ listen {at}:{self.tcp}; proxy_pass {at}:{self.echo}; }} }}
"""
            file = "nginx.conf"
        elif self.kind == "haproxy":
            subprocess.run(["sh", "-c", "cat cert.pem key.pem > both.pem"], cwd=self.folder, check=True)
            listed = "\n".join(f"  server s{index} {server} check" for index, server in enumerate(servers))
            text = f"""global
  nbthread 2
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option redispatch
frontend web
  bind {at}:{self.http}
  bind {at}:{self.https} ssl crt both.pem alpn h2,http/1.1
  http-response set-header x-rev {revision}
  default_backend app
backend app
{listed}
listen tunnel
  mode tcp
  bind {at}:{self.tcp}
  server echo {at}:{self.echo}
"""
            file = "haproxy.cfg"
        else:
            text = f"""{{
  admin {at}:{self.admin}
  auto_https off
}}
http://{at}:{self.http}, http://plain.test:{self.http} {{
  header x-rev {revision}
  reverse_proxy {" ".join(servers)}
}}
https://localhost:{self.https} {{
  tls cert.pem key.pem
  header x-rev {revision}
  reverse_proxy {" ".join(servers)}
}}
"""
            file = "Caddyfile"
        with open(f"{self.folder}/{file}.new", "w") as out:
            out.write(text)
        os.rename(f"{self.folder}/{file}.new", f"{self.folder}/{file}")

    def stream_module(self):
        """Debian's nginx has it as a module."""
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        return f"load_module {module};" if os.path.exists(module) and self.binary.startswith("/usr/") else ""

    def family(self):
        """All its processes."""
        found, all_of_them = [self.process.pid], []
        while found:
            pid = found.pop()
            all_of_them.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    found += map(int, open(f"/proc/{pid}/task/{task}/children").read().split())
            except OSError:
                pass
        return all_of_them

    def memory(self):
        """MiB, what is shared divided among those that share it."""
        total = 0
        for pid in self.family():
            try:
                total += int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read(), re.M).group(1))
            except (OSError, AttributeError):
                pass
        return total / 1024

    def stop(self):
        for pid in self.family()[::-1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()


# --- clients

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


UPGRADE = b"GET / HTTP/1.1\r\nHost: plain.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


class Asking(threading.Thread):
    """Asks again and again on one connection, and on a new one after `Connection: close` or an error."""

    def __init__(self, port, method, until):
        super().__init__(daemon=True)
        self.port, self.method, self.until, self.good, self.bad = port, method, until, 0, {}
        self.start()

    def run(self):
        body = b"x" * 100 if self.method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        request = f"{self.method} / HTTP/1.1\r\nHost: plain.test\r\n{length}\r\n".encode() + body
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
                if b"connection: close" in head.lower():
                    s.close()
                    s = None
            except (OSError, AttributeError) as error:
                self.count(type(error).__name__)
                s = None

    def cut(self):
        raise ConnectionResetError()

    def count(self, what):
        self.bad[what] = self.bad.get(what, 0) + 1


# --- the two runs

def origins(count, tcp):
    ports, processes = [free() for _ in range(count)], []
    for index, port in enumerate(ports):
        processes.append(start_origin(port, tcp if index == 0 else 0))
    time.sleep(0.5)
    return ports, processes


def start_origin(http, tcp):
    return subprocess.Popen([sys.executable, __file__, "origin", "--ports", str(http), str(tcp)])


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


def cost_run(binary, seconds):
    """CPU time of our proxy, one worker: for a request by what its upstream is, interleaved; and for looking at a thousand servers."""
    h1, h2 = free(), free()
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/nginx.conf", "w") as out:
            out.write(f"""worker_processes 1; pid nginx.pid; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{ listen {h1}; listen {h2} http2; location / {{ default_type text/plain; return 200 "{'x' * 1024}"; }} }} }}
""")
        server = subprocess.Popen(["nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf", "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        many = ", ".join(f'"127.0.{index // 250}.{index % 250 + 1}:{h1}"' for index in range(1000))
        ways = {
            "h1": f'servers = ["127.0.0.1:{h1}"]',
            "h2c": f'servers = ["h2c://127.0.0.1:{h2}"]',
            "two, in turn, once": f'servers = ["127.0.0.1:{h1}", "127.0.0.2:{h1}"]\nbalance = "round-robin"',
            "two, p2c, retries": f'servers = ["127.0.0.1:{h1}", "127.0.0.2:{h1}"]',
        }
        once = lambda name: ', retry = { tries = 1 }' if "once" in name else ""
        http = free()
        head = f'[server]\nworkers = 1\nstate = "state"\naccess-log = "off"\n[listen]\nhttp = ["127.0.0.1:{http}"]\n'
        routes = "".join(f'"/{index}/*" = {{ to = "u{index}"{once(name)} }}\n' for index, name in enumerate(ways))
        upstreams = "".join(f"[upstream.u{index}]\n{way}\n" for index, way in enumerate(ways.values()))
        write = lambda name, text: open(f"{folder}/{name}", "w").write(text)
        write("ways.toml", f'{head}[site."plain.test"]\ntls = "off"\n[site."plain.test".routes]\n{routes}{upstreams}')
        write("many.toml", f'{head}[site."plain.test"]\ntls = "off"\nroutes = {{ "/*" = "many" }}\n[upstream.many]\nservers = [{many}]\nhealth = "GET / every 10s"\n')
        def cpu(pid):
            # Nanoseconds of all threads that are there.
            return sum(int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0]) for task in os.listdir(f"/proc/{pid}/task")) / 1e9
        proxy = None
        try:
            proxy = subprocess.Popen([binary, "run", "ways.toml"], cwd=folder, stderr=open(f"{folder}/log", "w"))
            time.sleep(2)
            found = {name: [] for name in ways}
            for turn in range(5):
                for index, name in enumerate(ways) if turn % 2 else reversed(list(enumerate(ways))):
                    before = cpu(proxy.pid)
                    said = subprocess.run(["wrk", "-t1", "-c64", f"-d{max(2, seconds // 20)}s", "-H", "Host: plain.test", f"http://127.0.0.1:{http}/{index}/x"], capture_output=True, text=True).stdout
                    assert "errors" not in said and "Non-2xx" not in said, said
                    found[name].append((cpu(proxy.pid) - before) * 1e6 / int(re.search(r"(\d+) requests in", said).group(1)))
            proxy.kill(), proxy.wait()
            for name, all_of_them in found.items():
                all_of_them.sort()
                print(f"| {name} | {all_of_them[2]:.2f} [{all_of_them[0]:.2f}..{all_of_them[-1]:.2f}] µs/request |", flush=True)
            proxy = subprocess.Popen([binary, "run", "many.toml"], cwd=folder, stderr=open(f"{folder}/log", "w"))
            time.sleep(15)
            before, began = cpu(proxy.pid), time.time()
            time.sleep(max(20, seconds // 2))
            print(f"| 1,000 servers looked at every 10 s | {(cpu(proxy.pid) - before) / (time.time() - began) * 100:.2f} % of a core |")
        finally:
            proxy and proxy.kill()
            server.terminate()
            server.wait()


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["reload", "restart", "cost", "origin"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--proxy", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--ports", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.what == "origin":
        return asyncio.run(origin(*given.ports))
    print({"reload": "| proxy | reloads | HTTP/1.1, 8 connections: requests | HTTP/2, 4 × 8 streams | WebSocket lost | tunnel lost | memory, MiB |\n|---|---|---|---|---|---|---|",
           "restart": "| proxy | restarts | GET good | GET failed | POST good | POST failed |\n|---|---|---|---|---|---|",
           "cost": "| upstream | CPU |\n|---|---|"}[given.what])
    for one in given.proxy:
        name, binary = one.split("=", 1)
        binary = shutil.which(binary) or binary
        if given.what == "cost":
            cost_run(binary, given.seconds)
        else:
            {"reload": reload_run, "restart": restart_run}[given.what](name, binary, given.seconds)


if __name__ == "__main__":
    main()
