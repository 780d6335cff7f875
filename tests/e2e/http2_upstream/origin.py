"""An HTTP/2 server in the clear that does what the path says; made with PyPI's h2. Arguments: address, port, streams it allows at once.

Every answer's body is `connection/stream`, both counted from 1; x-seen says how many requests the server has begun to look at.
"""
import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

lock = threading.Lock()
counts = {"connections": 0, "seen": 0, "cancelled": 0, "once": set(), "held": 0}


class Connection:
    def __init__(self, sock, streams):
        self.sock = sock
        with lock:
            counts["connections"] += 1
            self.number = counts["connections"]
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535,
        })
        self.requests = {}
        self.bodies = {}
        self.held = []
        self.gone = False

    def serve(self):
        self.h2.initiate_connection()
        self.flush()
        while True:
            try:
                data = self.sock.recv(65536)
            except OSError:
                return
            if not data:
                return
            if self.gone:
                continue
            for event in self.h2.receive_data(data):
                if self.on(event) == "end":
                    self.flush()
                    self.sock.close()
                    return
            self.flush()

    def flush(self):
        try:
            self.sock.sendall(self.h2.data_to_send())
        except OSError:
            pass

    def first(self, name):
        with lock:
            if name in counts["once"]:
                return False
            counts["once"].add(name)
            return True

    def on(self, event):
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(event.headers)
            self.requests[event.stream_id] = fields
            self.bodies[event.stream_id] = b""
            path = fields[":path"]
            if path == "/refuse" and self.first("refuse"):
                self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                self.requests.pop(event.stream_id)
            elif path == "/refuse-always":
                self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                self.requests.pop(event.stream_id)
            elif path == "/away" and self.first("away"):
                # Not looked at, as the last stream says; what is held goes on.
                self.requests.pop(event.stream_id)
                last = max([stream for stream in self.held], default=0)
                self.h2.close_connection(last_stream_id=last)
                self.flush()
                # h2 takes no more to be sent after that; what is held is answered by hand below.
                for stream in self.held:
                    self.raw_answer(stream)
                self.held = []
                self.gone = True
                return None
            elif path == "/hang-up" and self.first("hang-up"):
                return "end"
            elif path == "/hang-up-always":
                return "end"
            elif path == "/reset":
                self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            elif path == "/garbage":
                # HEADERS with a block that HPACK cannot read.
                self.sock.sendall(bytes([0, 0, 4, 1, 5]) + event.stream_id.to_bytes(4, "big") + b"\xff\xff\xff\xff")
            elif path == "/early":
                self.h2.send_headers(event.stream_id, [(":status", "413"), ("content-length", "5")])
                self.h2.send_data(event.stream_id, b"early", end_stream=True)
                self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.NO_ERROR)
            elif path == "/interim":
                self.h2.send_headers(event.stream_id, [(":status", "103"), ("link", "</a>")])
            elif path == "/freeze":
                # Neither reads nor writes any more.
                time.sleep(60)
            elif path == "/chat":
                self.h2.send_headers(event.stream_id, [(":status", "200")])
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            if self.requests.get(event.stream_id, {}).get(":path") == "/chat":
                self.h2.send_data(event.stream_id, event.data.upper())
        elif isinstance(event, h2.events.TrailersReceived):
            self.requests[event.stream_id]["trailers"] = ",".join(f"{name}={value}" for name, value in event.headers)
        elif isinstance(event, h2.events.StreamReset):
            with lock:
                counts["cancelled"] += event.error_code == h2.errors.ErrorCodes.CANCEL
            self.requests.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.requests:
            return self.answer(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            return "end"
        return None

    def raw_answer(self, stream):
        block = self.h2.encoder.encode([(":status", "200"), ("x-held", "yes")])
        frame = len(block).to_bytes(3, "big") + bytes([1, 5]) + stream.to_bytes(4, "big") + block
        self.sock.sendall(frame)

    def answer(self, stream):
        fields = self.requests[stream]
        path = fields[":path"].split("?")[0]
        with lock:
            counts["seen"] += 1
        if path in ("/reset", "/garbage", "/early", "/stall"):
            return None
        if path == "/hold":
            self.held.append(stream)
            if len(self.held) == 2:
                for held in self.held:
                    self.reply(held, f"{self.number}/{held}".encode())
                self.held = []
            return None
        if path == "/held":
            self.held.append(stream)
            with lock:
                counts["held"] += 1
            return None
        if path == "/counts":
            with lock:
                body = " ".join(f"{name}={value}" for name, value in counts.items() if name != "once")
            return self.reply(stream, body.encode())
        if path == "/echo":
            shown = "".join(f"{name}: {value}\n" for name, value in fields.items())
            return self.reply(stream, shown.encode() + b"\n" + self.bodies[stream][:1000])
        if path == "/length":
            return self.reply(stream, str(len(self.bodies[stream])).encode())
        if path == "/chat":
            return self.h2.send_data(stream, b"", end_stream=True)
        if path == "/trailers":
            self.h2.send_headers(stream, [(":status", "200"), ("trailer", "x-sum")])
            self.h2.send_data(stream, b"body")
            return self.h2.send_headers(stream, [("x-sum", "4"), ("host", "no")], end_stream=True)
        if path == "/short":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "10")])
            return self.h2.send_data(stream, b"four", end_stream=True)
        if path == "/cut":
            self.h2.send_headers(stream, [(":status", "200")])
            self.h2.send_data(stream, b"some")
            return self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self.reply(stream, f"{self.number}/{stream}".encode())
        if path == "/leave":
            self.h2.close_connection()
            return "end"
        return None

    def reply(self, stream, body):
        fields = [(":status", "200"), ("content-length", str(len(body))), ("x-seen", str(counts["seen"]))]
        self.h2.send_headers(stream, fields)
        self.h2.send_data(stream, body, end_stream=True)


listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=128)
while True:
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(sock, int(sys.argv[3]))
    threading.Thread(target=connection.serve, daemon=True).start()
