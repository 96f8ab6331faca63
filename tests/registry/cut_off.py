#!/usr/bin/env python3
"""cut_off.py PORT TARGET-PORT BYTES FILE: forwards connections to 127.0.0.1, and after so many bytes of answers stands
still: FILE is there then. Whoever ends it cuts its clients off in the middle."""

import pathlib
import socket
import sys
import threading

port, target, left, mark = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4])
lock = threading.Lock()


def forward(source, sink, answers):
    global left
    while data := source.recv(16384):
        if answers:
            with lock:
                left -= len(data)
                if left < 0:
                    mark.touch()
                    threading.Event().wait()  # and whoever else has something to say waits for the lock
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


listener = socket.create_server(("127.0.0.1", port))
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", target))
    for arguments in ((client, server, False), (server, client, True)):
        threading.Thread(target=forward, args=arguments, daemon=True).start()
