"""Which servers have been given sessions since the last look, by HAProxy's own counters."""

from trunkline.model.proxy import ProxyState


class Arrivals:
    """Of all proxies that are looked at."""

    def __init__(self) -> None:
        self._totals: dict[str, dict[str, int]] = {}

    def since_last(self, state: ProxyState) -> list[str]:
        """The servers of this proxy; at the first look those that have had any. A new worker counts from 0 again."""
        before = self._totals.get(state.name, {})
        now = self._totals[state.name] = {it.name: it.total for it in state.servers if not it.is_backup}
        return [name for name, total in now.items() if total and total != before.get(name)]
