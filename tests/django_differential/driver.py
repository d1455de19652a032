"""Evaluates generated projects with the real Python, Django and Channels.

Reads one project a line (JSON) and answers one line: what its settings are under each environment,
and what becomes of each request. Each project has a process of its own, forked from this one, in
which Django is already imported. No socket is involved: a request is the scope, or the WSGI environment,
that the project's server would hand on.
"""

import asyncio
import importlib
import io
import json
import logging
import os
import signal
import sys
import warnings

import django.core.asgi
import django.core.handlers.asgi
import django.core.handlers.wsgi
import django.core.wsgi
import django.http
import django.middleware.common
import django.middleware.csrf
import django.middleware.security
import django.template
import django.urls
import django.views
import channels.auth
import channels.generic.websocket
import channels.routing
import channels.security.websocket
import channels.sessions
import configurations.importer
from django.conf import global_settings

SECONDS = 20


def told(value, depth=0):
    """A value as wslint's may be compared with it."""
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if depth > 20:
        raise RecursionError
    for kind, name in ((tuple, "tuple"), (list, "list"), (set, "set"), (frozenset, "set")):
        if type(value) is kind:
            return {name: [told(item, depth + 1) for item in value]}
    if type(value) is dict:
        return {"dict": [[told(key), told(item, depth + 1)] for key, item in value.items()]}
    return {"other": type(value).__name__}


def known(value):
    try:
        return told(value)
    except RecursionError:
        # It holds itself.
        return {"other": "deep"}


def settings(task):
    if task["configuration"]:
        configurations.importer.install()
    module = importlib.import_module(task["settings"])
    found = {}
    for name in task["names"]:
        value = getattr(module, name, None)
        found[name] = known(value) if hasattr(module, name) else {"absent": True}
        # A class of settings has Django's defaults as well.
        if task["configuration"] and value is getattr(global_settings, name, module):
            found[name] = {"default": found[name]}
    return found


def scope(request, kind):
    headers = [(b"host", request["host"].encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in request["headers"]]
    found = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws" if kind == "websocket" else "http",
        "path": request["path"],
        "raw_path": request["path"].encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ["10.0.0.1", 40000],
        "server": ["10.0.0.2", 80],
        "state": {},
    }
    found.update({"method": "GET"} if kind == "http" else {"subprotocols": []})
    return found


class Hangs(Exception):
    """The application waits for more without having answered."""


async def ask(application, request, kind):
    answer = None
    began = False
    idle = asyncio.Event()

    async def receive():
        nonlocal began
        if not began:
            began = True
            if kind == "websocket":
                return {"type": "websocket.connect"}
            return {"type": "http.request", "body": b"", "more_body": False}
        if kind == "websocket":
            if answer is None:
                raise Hangs
            idle.set()
        await asyncio.sleep(SECONDS)

    async def send(message):
        nonlocal answer
        if answer is None:
            if message["type"] == "websocket.accept":
                answer = 101
            elif message["type"] == "websocket.close":
                answer = 403
            elif message["type"].endswith("response.start"):
                answer = message["status"]

    # Not cancelled before it ends or waits for more: a synchronous consumer runs in the one thread that
    # all requests share, and if the loop ends while it sends, asgiref never wakes that thread again.
    task = asyncio.ensure_future(application(scope(request, kind), receive, send))
    waiting = asyncio.ensure_future(idle.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=SECONDS)
    waiting.cancel()
    failed = task.exception() if task.done() and not task.cancelled() else None
    task.cancel()
    if answer is not None:
        return answer, ""
    if isinstance(failed, Hangs):
        return "hangs", ""
    return 500, repr(failed)


def wsgi(application, request):
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": request["path"],
        "QUERY_STRING": "",
        "SERVER_NAME": "10.0.0.2",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.1",
        "HTTP_HOST": request["host"],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request["headers"]:
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    status = None

    def start(line, headers, error=None):
        nonlocal status
        status = int(line.split()[0])

    application(environ, start)
    return status, ""


def requests(task):
    module, name = task["target"].split(":")
    try:
        application = getattr(importlib.import_module(module), name)
    except BaseException as error:
        return [["nostart", repr(error)] for _ in task["requests"]]
    answers = []
    for request in task["requests"]:
        try:
            if task["speaks"] == "wsgi":
                answers.append(wsgi(application, request))
            else:
                answers.append(asyncio.run(ask(application, request, task["speaks"])))
        except Exception as error:
            answers.append((500, repr(error)))
    return answers


def project(task):
    """The settings under each environment, then the answers to the requests under the first."""
    sys.path.insert(0, task["folder"])
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    plain = dict(os.environ, DJANGO_SETTINGS_MODULE=task["settings"])
    if task["configuration"]:
        plain["DJANGO_CONFIGURATION"] = task["configuration"]
    found = []
    for environment in task["environments"]:
        os.environ.clear()
        os.environ.update(plain, **environment)
        for name in list(sys.modules):
            if name.split(".")[0] == "p":
                del sys.modules[name]
        try:
            found.append({"settings": settings(task)})
        except BaseException as error:
            found.append({"fails": repr(error)})
    os.environ.clear()
    os.environ.update(plain, **task["environments"][0])
    for name in list(sys.modules):
        if name.split(".")[0] == "p":
            del sys.modules[name]
    found.append({"answers": requests(task)})
    return found


def forked(task):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(3 * SECONDS)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            found = project(task)
        except BaseException as error:
            found = [{"fails": repr(error)}]
        with os.fdopen(writing, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else [{"fails": "the process died"}]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)
