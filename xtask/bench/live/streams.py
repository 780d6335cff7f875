"""An HTTP/2 client that does what a server may ask of it: what a GOAWAY leaves out is asked on another connection. h2load, which does not, counts those
as failed."""

import socket, ssl, struct, threading, time

AT_ONCE = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY = 1, 4, 1, 8, 0x20
REFUSED = 7
WIDEST = 2**31 - 1
# GET https://localhost/, by HPACK's static table; :status 200 is in it too.
GET, OK = b"\x82\x87\x84\x01\x09localhost", 0x88


def frame(kind, flags, stream, payload):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


class Streams(threading.Thread):
    """Keeps eight requests running on one connection, and goes on with a new one when it is told to, or when it was cut."""

    def __init__(self, port, until):
        super().__init__(daemon=True)
        self.port, self.until, self.good, self.again, self.bad = port, until, 0, 0, {}
        self.start()

    def run(self):
        while time.time() < self.until:
            try:
                self.connect()
                self.converse()
                self.socket.close()
            except OSError as error:
                self.count(type(error).__name__, len(self.open) or 1)

    def connect(self):
        self.open, self.next, self.leaving, self.bytes = {}, 1, False, b""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 5), server_hostname="localhost")
        self.socket.settimeout(10)
        widest = struct.pack("!HI", 4, WIDEST)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, widest) + frame(WINDOW, 0, 0, struct.pack("!I", WIDEST - 65535)))

    def converse(self):
        """Until the time is over, or nothing runs on a connection that is to be left."""
        while time.time() < self.until:
            asked = b""
            while len(self.open) < AT_ONCE and not self.leaving:
                asked += frame(HEADERS, END_STREAM | END_HEADERS, self.next, GET)
                self.open[self.next] = [None, 0]
                self.next += 2
            if not self.open:
                return
            asked and self.socket.sendall(asked)
            self.bytes += self.socket.recv(65536) or self.gone()
            while len(self.bytes) >= 9 and len(self.bytes) >= 9 + (length := int.from_bytes(self.bytes[:3], "big")):
                kind, flags, stream = struct.unpack("!BBI", self.bytes[3:9])
                self.hear(kind, flags, stream, self.bytes[9:9 + length])
                self.bytes = self.bytes[9 + length:]

    def hear(self, kind, flags, stream, payload):
        if kind == GOAWAY:
            last, code = struct.unpack("!II", payload[:8])
            self.leaving = True
            code and self.count(f"GOAWAY {code}", 1)
            left_out = [one for one in self.open if one > last]
            self.again += len([self.open.pop(one) for one in left_out])
        elif kind == RESET and stream in self.open:
            code = struct.unpack("!I", payload)[0]
            self.open.pop(stream)
            if code == REFUSED:
                self.again += 1
            else:
                self.count(f"RST_STREAM {code}", 1)
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (HEADERS, DATA) and stream in self.open:
            pad = payload[0] if flags & PADDED else 0
            payload = payload[bool(flags & PADDED) + 5 * bool(kind == HEADERS and flags & PRIORITY):len(payload) - pad]
            self.answered(kind, flags & END_STREAM, stream, payload)

    def answered(self, kind, ends, stream, payload):
        answer = self.open[stream]
        if kind == DATA:
            answer[1] += len(payload)
        elif answer[0] is None:
            # Before it the table's size may be told anew.
            answer[0] = payload.lstrip(bytes(range(0x20, 0x40)))[0]
        if ends:
            self.open.pop(stream)
            if answer == [OK, 1024]:
                self.good += 1
            else:
                self.count(f"answer {answer}", 1)

    def gone(self):
        raise ConnectionResetError()

    def count(self, what, number):
        self.bad[what] = self.bad.get(what, 0) + number
