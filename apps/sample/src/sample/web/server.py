"""The page on the network: for this machine alone unless told otherwise, nothing from elsewhere."""

from collections.abc import Callable
from contextlib import suppress

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sample.web.listener import listen
from sample.web.page import STYLE, THEME, build_page
from sample.web.runs import Runs

# gradio's own files name other hosts here and there; the browser is told to ask none.
# 'unsafe-eval': gradio compiles what `js_on_load` says.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; worker-src 'self' blob:;"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


def serve(runs: Runs, host: str, port: int, *, say: Callable[[str], None]) -> None:
    """Shows the page until the process is interrupted.

    Args:
        runs: those it is about.
        host: address to listen at.
        port: port to listen at; 0 for any that is free.
        say: told where the page is, once it can be opened.

    Raises:
        ValueError: The address can't be listened at.
    """
    listener = listen(host, port)
    app = make_app(runs)
    host, port = listener.getsockname()[:2]
    say(f"http://{f'[{host}]' if ':' in host else host}:{port}  (Ctrl-C ends it)")
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def make_app(runs: Runs) -> ASGIApp:
    """The page with its policy, and without what gradio would offer or fetch besides."""
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None),  # its documentation page would come from elsewhere
        build_page(runs),
        path="/",
        theme=THEME,
        css=STYLE,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=1,  # byte: nothing is to be uploaded
    )
    return _WithPolicy(app)


class _WithPolicy:
    """Adds the policy to every answer of `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_with_policy)
