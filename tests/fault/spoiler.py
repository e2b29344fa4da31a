#!/usr/bin/env python3
"""A relay that does one thing wrong: spoiler.py HOW AT TARGET_PORT. Prints "ready PORT" when it listens; ends when it is killed.

HOW, once in each connection, at byte AT of what its client sends (at byte AT of the answers for "answer"):
  clean    nothing             flip    one byte changed       drop    one byte left out
  double   one byte twice      answer  one byte of an answer changed
  reset    the client's connection is reset
  swallow  nothing goes on any more, and nothing is said about it
"""
import socket
import struct
import sys
import threading

how, at, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def spoil(piece, place):
    """The piece as it goes on; place is where in it the fault belongs."""
    byte = piece[place:place + 1]
    new = {'drop': b'', 'double': byte + byte}.get(how, bytes([byte[0] ^ 1]))
    return piece[:place] + new + piece[place + 1:]


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    client.shutdown(socket.SHUT_RD)
    client.close()


def carry(source, sink, spoils, client):
    seen = 0
    try:
        while piece := source.recv(65536):
            here = spoils and seen <= at < seen + len(piece)
            place, seen = at - seen, seen + len(piece)
            if here and how == 'reset':
                return reset(client)
            if here and how == 'swallow':
                return threading.Event().wait()
            sink.sendall(spoil(piece, place) if here else piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    upstream = socket.create_connection(('127.0.0.1', target))
    for end in client, upstream:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    there = threading.Thread(target=carry, args=(client, upstream, how not in ('clean', 'answer'), client))
    back = threading.Thread(target=carry, args=(upstream, client, how == 'answer', client))
    there.start()
    back.start()
    there.join()
    back.join()
    client.close()
    upstream.close()


listener = socket.create_server(('127.0.0.1', 0), backlog=256)
print(f'ready {listener.getsockname()[1]}\n', end='', flush=True)  # at once, even unbuffered
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
