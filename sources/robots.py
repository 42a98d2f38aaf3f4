"""What a site asks robots to leave alone (robots.txt)."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from forecasting.errors import Blocked, Malformed, UnknownSymbol
from sources.web import Web

AGENT = "nextclose"


class Robots:
    """The rules of the site of one address, asked for when first needed."""

    def __init__(self, web: Web, url: str) -> None:
        parts = urlsplit(url)
        self._web, self._url = web, f"{parts.scheme}://{parts.netloc}/robots.txt"
        self._rules: RobotFileParser | None = None

    def check(self, url: str, symbol: str) -> None:
        """Blocked where the site does not want the address to be read by programs. A site without robots.txt allows all,
        one that refuses it refuses all; where it cannot be had, its SourceDown is raised: then nothing may be read."""
        rules = self._known(symbol)
        if not rules.can_fetch(AGENT, url):
            said = f"{self._url} asks programs not to read this page"
            raise self._web.error(Blocked, symbol, said, "use another source, or ask the site for leave")

    @property
    def delay(self) -> float:
        """The seconds between two requests that the site asks for; 0.0 where it does not."""
        return float((self._rules.crawl_delay(AGENT) if self._rules is not None else None) or 0.0)

    def _known(self, symbol: str) -> RobotFileParser:
        if self._rules is None:
            rules = RobotFileParser()
            try:
                # with a symbol, a missing page is UnknownSymbol and not to be mixed up with any other answer
                rules.parse(self._web.get(self._url, symbol=symbol, accept="any").text.splitlines())
            except UnknownSymbol:
                rules.allow_all = True
            except Blocked:
                rules.disallow_all = True
            except Malformed as error:
                raise self._web.error(Blocked, symbol, f"robots.txt: {error.detail}") from error
            rules.modified()  # without it, can_fetch says no to everything
            self._rules = rules
        return self._rules
