#!/usr/bin/env python3
"""peer.py: the other end of a connection, as bad as asked. Every address is ADDRESS:PORT; every step is in order.

  peer.py listen ADDRESS STEP...    says "ready" once it listens, accepts one connection
  peer.py connect ADDRESS STEP...   connects, trying until somebody listens

  send:FILE        all of it, or until the connection breaks
  send:FILE,N      its first N bytes, or of what is left of it
  trickle:FILE     byte by byte, each a packet of its own
  read:N           exactly N bytes, kept
  drain            to the end of the stream or an error; says "end" or the error's name
  discard          the same, keeping nothing
  stuck            until the other side has filled what the kernel takes: nothing more can be read without reading
  shut             ends its own sending side
  wait:FILE        until the file is there
  say:WORD         prints it
  keep:FILE        writes what was kept
  reset            closes with a reset
  close            closes
"""
import errno
import fcntl
import os
import socket
import struct
import sys
import termios
import time


def unread(s):
    return struct.unpack('i', fcntl.ioctl(s, termios.FIONREAD, b'\0' * 4))[0]


def wait_until(true):
    for _ in range(3000):
        if true():
            return
        time.sleep(0.005)
    sys.exit('peer.py: waited in vain: ' + ' '.join(sys.argv[1:]))


def connect(address):
    made = []

    def attempt():
        s = socket.socket()
        try:
            s.connect(address)
        except ConnectionRefusedError:
            s.close()
            return False
        made.append(s)
        return True

    wait_until(attempt)
    return made[0]


def accept(address):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)
        print(f'ready {listener.getsockname()[1]}\n', end='', flush=True)
        return listener.accept()[0]


def stuck(s):
    """The window is full when nothing has come for a while, on a clock that stops with nobody."""
    last, same = -1, 0
    while same < 10:
        time.sleep(0.01)
        now = unread(s)
        same = same + 1 if now == last and now > 0 else 0
        last = now


def main():
    side, address, steps = sys.argv[1], sys.argv[2], sys.argv[3:]
    host, port = address.rsplit(':', 1)
    s = (accept if side == 'listen' else connect)((host, int(port)))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kept = bytearray()
    files = {}
    for step in steps:
        verb, _, argument = step.partition(':')
        try:
            if verb in ('send', 'trickle'):
                name, _, most = argument.partition(',')
                f = files.setdefault(name, open(name, 'rb'))
                data = f.read(int(most)) if most else f.read()
                if verb == 'send':
                    s.sendall(data)
                else:
                    for i in range(len(data)):
                        s.send(data[i:i + 1])
            elif verb == 'read':
                left = int(argument)
                while left:
                    data = s.recv(min(left, 65536))
                    if not data:
                        sys.exit('peer.py: the end came %d bytes early' % left)
                    kept += data
                    left -= len(data)
            elif verb in ('drain', 'discard'):
                while data := s.recv(65536):
                    if verb == 'drain':
                        kept += data
                print('end', flush=True)
            elif verb == 'stuck':
                stuck(s)
            elif verb == 'shut':
                s.shutdown(socket.SHUT_WR)
            elif verb == 'wait':
                wait_until(lambda: os.path.exists(argument))
            elif verb == 'say':
                print(argument, flush=True)
            elif verb == 'keep':
                with open(argument, 'wb') as f:
                    f.write(kept)
            elif verb == 'reset':
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                s.close()
            elif verb == 'close':
                s.close()
            else:
                sys.exit('peer.py: what is %s?' % step)
        except OSError as e:
            print(errno.errorcode.get(e.errno, str(e)), flush=True)


main()
