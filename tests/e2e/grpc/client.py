"""Calls test.Echo as a user would. Arguments: host:port, the CA's certificate or -, what to do. Prints what came of it."""
import sys
import threading
import time

import grpc

target, ca, what = sys.argv[1:4]
options = [("grpc.enable_retries", 0), ("grpc.default_authority", "localhost")]
if ca == "-":
    channel = grpc.insecure_channel(target, options)
else:
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    channel = grpc.secure_channel(target, credentials, options + [("grpc.ssl_target_name_override", "localhost")])


def path(name):
    return "/test.Echo/" + name


def outcome(run):
    try:
        return run()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def all_kinds():
    response, call = channel.unary_unary(path("Unary")).with_call(b"one", timeout=20)
    print(response.decode(), dict(call.trailing_metadata()).get("x-trailer"))
    print(len(channel.unary_unary(path("Unary"))(b"x" * 1_000_000, timeout=20)))
    print(b"".join(channel.unary_stream(path("ServerStream"))(b"5", timeout=20)).decode())
    print(channel.stream_unary(path("ClientStream"))(iter([b"a", b"b", b"c"]), timeout=20).decode())
    # Each message is answered before the next is sent.
    turn = threading.Semaphore(1)

    def messages():
        for word in [b"do", b"re", b"mi"]:
            assert turn.acquire(timeout=20)
            yield word

    heard = []
    for answer in channel.stream_stream(path("Bidi"))(messages(), timeout=20):
        heard.append(answer.decode())
        turn.release()
    print(" ".join(heard))
    print(outcome(lambda: channel.unary_unary(path("Fails"))(b"", timeout=20)))
    print(outcome(lambda: channel.unary_unary("/test.Echo/None")(b"", timeout=20)))


def deadline():
    # The server's own view of how much time it has.
    print(channel.unary_unary(path("Deadline"))(b"", timeout=20).decode())
    print(outcome(lambda: channel.unary_unary(path("Slow"))(b"", timeout=0.5)))


def cancel():
    call = channel.unary_unary(path("Slow")).future(b"", timeout=20)
    time.sleep(0.3)
    call.cancel()
    while channel.unary_unary(path("Count"))(b"", timeout=20) == b"0":
        time.sleep(0.05)
    print("cancelled")


def unary():
    print(outcome(lambda: channel.unary_unary(path("Unary"))(b"one", timeout=20).decode()))


def load():
    # Until it is told that it is enough.
    over, done, failed = threading.Event(), [0], []

    def ask():
        while not over.is_set():
            said = outcome(lambda: channel.unary_unary(path("Unary"))(b"one", timeout=20).decode())
            if said != "got one":
                failed.append(said)
            done[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in sys.stdin:
        # How far it has come.
        until = done[0] + 100
        while done[0] < until:
            time.sleep(0.005)
        print(done[0], flush=True)
    over.set()
    for thread in threads:
        thread.join()
    print(len(failed), sorted(set(failed)))


def other():
    print(outcome(lambda: channel.unary_unary("/other.Service/Method")(b"", timeout=20)))


def stream():
    def run():
        heard = []
        try:
            for answer in channel.unary_stream(path("Drip"))(b"", timeout=20):
                heard.append(answer.decode())
                print("heard", flush=True)
        except grpc.RpcError as error:
            return f"{heard} {error.code().name}: {error.details()}"

    print(outcome(run))


{"all": all_kinds, "deadline": deadline, "cancel": cancel, "unary": unary, "load": load, "other": other, "stream": stream}[what]()
