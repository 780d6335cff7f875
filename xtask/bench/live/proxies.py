"""Proxies as they are run here: started, reloaded, looked at. Each has its own defaults and its own way to do it."""

import os, re, shutil, signal, socket, subprocess, sys, time


def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_listening(port):
    for _ in range(400):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens at port {port}")


class Proxy:
    def __init__(self, name, binary, folder, servers, echo_port, replaceable=False):
        self.name, self.given, self.folder, self.servers, self.echo = name, binary, folder, servers, echo_port
        self.http, self.https, self.tcp, self.admin = free(), free(), free(), free()
        self.kind = name.split("-")[0]
        self.binary = f"{folder}/{self.kind}" if replaceable else binary
        # A master of nginx hands nothing over while whoever started it is there.
        self.daemon = "on" if replaceable else "off"
        replaceable and self.replace()
        self.write(0)
        self.log = open(f"{folder}/log", "w")
        self.start()
        await_listening(self.http)

    def start(self):
        self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=self.log)

    def replace(self):
        """As a package manager does it: who runs keeps the file that it has."""
        shutil.copy(self.given, f"{self.binary}.new")
        os.rename(f"{self.binary}.new", self.binary)

    has_tunnel = property(lambda self: self.kind != "caddy")

    def command(self):
        return {
            "portcullis": [self.binary, "run", "p.toml"],
            "nginx": [self.binary, "-e", "stderr", "-p", self.folder, "-c", f"{self.folder}/nginx.conf", "-g", f"daemon {self.daemon};"],
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
        return self.tell(command)

    def tell(self, command):
        return subprocess.run(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=self.log).returncode

    def upgrade(self):
        """Lets what is at the binary's path now take over; whether it has."""
        if self.kind == "portcullis":
            return self.tell([self.binary, "upgrade", "p.toml"]) == 0
        if self.kind == "nginx":
            return self.succeed()
        if self.kind == "haproxy":
            # The master becomes the new binary, whatever the signal is called.
            return self.reload() == 0
        # Nothing takes over from a Caddy: it is stopped and started.
        self.process.terminate()
        self.process.wait()
        self.start()
        return True

    def succeed(self):
        """nginx's way: a new master beside the old one, and when it has its workers, the old one is told to leave."""
        old = self.master()
        os.kill(old, signal.SIGUSR2)
        for _ in range(100):
            time.sleep(0.05)
            new = self.master()
            if new not in (None, old) and len(children(new)) >= 2:
                os.kill(old, signal.SIGQUIT)
                return True
        return False

    def master(self):
        try:
            return int(open(f"{self.folder}/nginx.pid").read())
        except (OSError, ValueError):
            return None

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
        return f"load_module {module};" if os.path.exists(module) and self.given.startswith("/usr/") else ""

    def family(self):
        """All its processes, those too whose parents have left: who works in its folder."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if works_in(pid) == self.folder]

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
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()
        self.log.flush()
        with open(self.log.name, errors="replace") as log:
            said = log.read()
        if "panicked at" in said:
            print(f"{self.given}: it panicked\n{said}", file=sys.stderr)


def children(pid):
    try:
        return open(f"/proc/{pid}/task/{pid}/children").read().split()
    except OSError:
        return []


def works_in(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
