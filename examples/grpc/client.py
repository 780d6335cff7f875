"""Calls the greeter. `python3 client.py localhost:8443 root.pem`"""
import sys

import grpc

credentials = grpc.ssl_channel_credentials(open(sys.argv[2], "rb").read())
with grpc.secure_channel(sys.argv[1], credentials, [("grpc.default_authority", "localhost")]) as channel:
    try:
        print(channel.unary_unary("/hello.Greeter/Hello")(b"world", timeout=5).decode())
        print(*(letter.decode() for letter in channel.unary_stream("/hello.Greeter/Spell")(b"abc", timeout=5)))
        print(*(word.decode() for word in channel.stream_stream("/hello.Greeter/Chat")(iter([b"do", b"re"]), timeout=5)))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
