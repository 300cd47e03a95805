"""One question to the API of a member, and the fact that comes of it."""

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.agent.watched import Member
from trunkline.errors import PatroniError, SilentError
from trunkline.model.facts import RestFact


async def ask_api(patroni: PatroniRest, member: Member) -> RestFact | None:
    """None for what is no fact about this member: an answer of another one, TLS that does not work."""
    try:
        answer = await patroni.member(member.api_url, "/primary")
    except SilentError as error:
        return RestFact(answer=None, age_s=0.0, why=error.message)
    except PatroniError:
        return None
    is_it = answer.name in ("", member.server.member)  # before Patroni 3.0 it does not say who it is
    return RestFact(answer=answer, age_s=0.0) if is_it else None
