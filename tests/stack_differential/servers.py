"""Starts the real uvicorn, daphne and gunicorn, many of them from one process.

Reads one command a line (JSON) and answers one line. Each server is a process of its own, forked from
this one, in which what they all import is there already; it then runs the entry point of the
command's own package, with the words, the folder and the environment that the command would have.
"""

import importlib
import json
import os
import signal
import sys

import asgiref.sync
import channels.auth
import channels.generic.websocket
import channels.routing
import channels.security.websocket
import channels.sessions
import django.conf.global_settings
import django.core.asgi
import django.core.handlers.asgi
import django.core.handlers.wsgi
import django.core.wsgi
import django.db.backends.sqlite3.base
import django.middleware.common
import django.middleware.security
import django.urls
import django.views.debug
import gunicorn.app.wsgiapp
import gunicorn.arbiter
import gunicorn.config
import gunicorn.workers.gthread
import gunicorn.workers.sync
import httptools
import uvicorn.lifespan.on
import uvicorn.main
import uvicorn.middleware.proxy_headers
import uvicorn.protocols.http.h11_impl
import uvicorn.protocols.http.httptools_impl
import uvicorn.protocols.websockets.websockets_impl
import uvicorn.protocols.websockets.wsproto_impl
import uvicorn_worker
import uvloop

# Not the reactor, which holds a descriptor that no two processes may share.
import autobahn.websocket.protocol
import OpenSSL.SSL
import twisted.python.failure

ENTRIES = {
    "uvicorn": ("uvicorn.main", "main"),
    "gunicorn": ("gunicorn.app.wsgiapp", "run"),
    "daphne": ("daphne.cli", "CommandLineInterface.entrypoint"),
}


def serve(task):
    """What the command does."""
    words = task["words"]
    os.chdir(task["folder"])
    # What its import finds in that folder.
    gunicorn.config.Chdir.default = os.getcwd()
    # A script of a virtual environment has its own folder first in the path.
    sys.path[0] = os.path.dirname(sys.executable)
    sys.argv = words
    module, name = ENTRIES[words[0].rsplit("/", 1)[-1]]
    entry = importlib.import_module(module)
    for part in name.split("."):
        entry = getattr(entry, part)
    sys.exit(entry())


def start(task):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        silent = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in ((silent, 0), (log, 1), (log, 2)):
            os.dup2(ours, theirs)
        serve(task)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def stop(children):
    for child in children:
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    for line in sys.stdin:
        task = json.loads(line)
        answer = stop(task["stop"]) if "stop" in task else start(task)
        print(json.dumps(answer), flush=True)
