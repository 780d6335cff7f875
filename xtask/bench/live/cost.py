"""What ours costs more with another protocol, balance, or many servers to look at."""

import os, re, subprocess, tempfile, time

from proxies import free


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
