"""HAProxy's server state file at rest: DOWN, not yet asked, for every server of every service.

A server without such a line counts as up until its first check, which sends clients to whatever stands first. A real
dump of a running HAProxy would name yesterday's primary after a power cut; so this one rests on disk.
Format: HAProxy's manual, section "show servers state", version 1.
"""

from collections.abc import Iterator

from trunkline.model.desired import Balancer

VERSION = "1"

COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)

FULL_WEIGHT = 100
"""Of servers that may start slowly: their weight is the percentage of their share."""

OPERATION_DOWN = 0
CHECK_STATUS_NOT_YET = 1
CHECK_RESULT_NEUTRAL = 1
CHECK_CONFIGURED_AND_ENABLED = 6


def resting_state(balancer: Balancer) -> str:
    """The text of the state file for this balancer."""
    return "\n".join((VERSION, f"# {COLUMNS}", *_lines(balancer))) + "\n"


def _lines(balancer: Balancer) -> Iterator[str]:
    for backend_id, service in enumerate(balancer.services, start=1):
        weight = FULL_WEIGHT if service.slow_start_ms else 1
        for server_id, server in enumerate(service.servers, start=1):
            yield " ".join(
                map(
                    str,
                    (
                        backend_id,
                        service.proxy,
                        server_id,
                        server.name,
                        server.postgres.address,
                        OPERATION_DOWN,
                        0,  # nothing administrative
                        weight,
                        weight,
                        0,  # seconds since the last change
                        CHECK_STATUS_NOT_YET,
                        CHECK_RESULT_NEUTRAL,
                        0,  # no check passed
                        CHECK_CONFIGURED_AND_ENABLED,
                        0,  # no agent check
                        0,
                        0,  # ids are HAProxy's own
                        "-",
                        server.postgres.port,
                        "-",
                        0,  # no TLS towards PostgreSQL
                        server.api.port,
                        "-",
                        "-",
                        0,
                    ),
                )
            )
