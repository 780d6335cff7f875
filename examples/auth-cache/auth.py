"""An auth service for trying the example: `python3 auth.py 9001` knows one user, whose token is `sesame`."""

import http.server
import sys


class Auth(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = self.headers["authorization"] == "Bearer sesame"
        self.send_response(204 if known else 403)
        if known:
            self.send_header("x-user", "alice")
        self.send_header("content-length", "0")
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Auth).serve_forever()
