"""A Prefect block that sends a notice by mail, with the mail server of one's own."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage

from prefect.blocks.abstract import NotificationBlock
from pydantic import Field, SecretStr

PATIENCE_SECONDS = 20


class Mail(NotificationBlock):
    """Sends each notice to ``to`` through the mail server ``host``:``port``."""

    _block_type_name = "nextclose mail"
    _block_type_slug = "nextclose-mail"
    _description = "Sends notices of automations by mail, through a mail server of one's own."

    host: str = Field(description="mail server")
    port: int = Field(25, description="its port")
    security: str = Field("none", description="none, starttls or tls")
    user: str | None = Field(None, description="user of the mail server")
    password: SecretStr | None = Field(None, description="its password")
    sender: str = Field(description="who the mail is from")
    to: list[str] = Field(description="who gets it")

    async def notify(self, body: str, subject: str | None = None) -> None:
        await asyncio.to_thread(self.send, subject or "nextclose", body)

    anotify = notify  # the newer name of the same

    def send(self, subject: str, body: str) -> None:
        """Hand one mail to the server; what it says against it is raised."""
        mail = EmailMessage()
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Subject"] = " ".join(subject.split())[:200]
        mail.set_content(body)
        safe = ssl.create_default_context()
        if self.security == "tls":
            opened: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=PATIENCE_SECONDS, context=safe)
        else:
            opened = smtplib.SMTP(self.host, self.port, timeout=PATIENCE_SECONDS)
        with opened as server:
            if self.security == "starttls":
                server.starttls(context=safe)
            if self.user is not None and self.password is not None:
                server.login(self.user, self.password.get_secret_value())
            server.send_message(mail)
