#!/usr/bin/env python3
"""The origin behind the proxies: 1 KiB for every request, an echo after an upgrade, and an echo of its own for tunnels. `origin.py HTTP-PORT
TCP-PORT` serves both (no tunnels with port 0) until SIGTERM, and then stops as a well-behaved server does."""

import asyncio, re, signal, subprocess, sys

from proxies import await_listening, free

ONE_KIB = b"x" * 1024


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


def origins(count, tcp):
    ports, processes = [free() for _ in range(count)], []
    for index, port in enumerate(ports):
        processes.append(start_origin(port, tcp if index == 0 else 0))
    [await_listening(port) for port in ports + [tcp] * (tcp != 0)]
    return ports, processes


def start_origin(http, tcp):
    return subprocess.Popen([sys.executable, __file__, str(http), str(tcp)])


if __name__ == "__main__":
    asyncio.run(origin(*map(int, sys.argv[1:])))
