"""``vedette intake``: an HTTP server for loggers that cannot speak Kafka."""

from __future__ import annotations


def intake() -> None:
    """Take CloudEvents and LiteLLM's webhook over HTTP until SIGTERM or Ctrl-C.

    `POST /` and `POST /cloudevents` take CloudEvents, as KServe's logger sends them;
    `POST /litellm` takes LiteLLM's generic webhook; `GET /health` answers while it runs. A
    request is answered with 202 once Kafka has all of it. It listens on loopback alone until
    `VEDETTE_INTAKE__HOST` says otherwise, and then needs `VEDETTE_INTAKE__TOKEN`.

    **Examples:**

    - `vedette intake`: for the loggers on this machine.

    - `VEDETTE_INTAKE__HOST=0.0.0.0 VEDETTE_INTAKE__TOKEN=... vedette intake`: for a cluster.
    """
    import asyncio

    from config.settings import load_settings
    from streams.intake.serve import serve
    from streams.logs import configure_logs

    settings = load_settings()
    configure_logs(settings.log_level, role="intake")
    asyncio.run(serve(settings))
