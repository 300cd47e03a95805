"""One question to a REST API of the lab and its answer. Blocking, since the lab's own code is.

The balancer asks through `trunkline.adapters.patroni_rest`; this is the lab's second, independent view, so that a
fault of the one is not a fault of the other.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`status` 0: nobody answered in time. `body`: the JSON object, or empty when it is none; `text`: as it came."""

    status: int
    text: str = ""

    @property
    def body(self) -> dict[str, object]:
        """The JSON object that was answered."""
        try:
            parsed = json.loads(self.text)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


def ask(
    host: str,
    port: int,
    path: str,
    *,
    method: str = "GET",
    send: Mapping[str, object] | None = None,
    login: tuple[str, str] | None = None,
    timeout_s: float = 2.0,
) -> Answer:
    """Ask once; silence and refusal are answers too."""
    headers = {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode()
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request(method, path, body=None if send is None else json.dumps(send), headers=headers)
        response = connection.getresponse()
        return Answer(status=response.status, text=response.read().decode(errors="replace"))
    except (OSError, HTTPException):
        return Answer(status=0)
    finally:
        connection.close()
