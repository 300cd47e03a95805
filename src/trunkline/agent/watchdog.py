"""The service manager's watchdog: told that we are well for as long as we are, so that it starts us again when not."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from trunkline.adapters.systemd import notify, watchdog_s

PER_PERIOD = 3


async def stay_well(is_well: Callable[[], bool] = lambda: True) -> NoReturn:
    """Say so three times in each period, as long as the loop turns and `is_well`; for ever silent where nobody asks."""
    period_s = watchdog_s()
    while True:
        if period_s is None:
            await asyncio.Event().wait()
            continue
        if is_well():
            notify("WATCHDOG=1")
        await asyncio.sleep(period_s / PER_PERIOD)
