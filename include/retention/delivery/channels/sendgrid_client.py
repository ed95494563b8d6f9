"""SendGrid's official client, made in one place. Import this where it is needed: the client takes a second."""

from __future__ import annotations

import logging

from sendgrid import SendGridAPIClient

from retention.core.settings import Settings

# The client writes whole requests and answers, addresses included, to its log when debugging is on.
logging.getLogger("python_http_client").setLevel(logging.INFO)


def make(settings: Settings) -> SendGridAPIClient:
    """A client for the account and the address of the settings, which waits no longer than they say."""
    client = SendGridAPIClient(settings.sendgrid_api_key, host=settings.sendgrid_host.rstrip("/"))
    client.client.timeout = settings.provider_timeout  # its own default is to wait for ever
    return client
