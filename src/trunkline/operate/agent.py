"""What the agent that runs says of itself: asked on its own socket, whoever started it."""

from trunkline.adapters.agent_page import PLAN, fetch
from trunkline.model.desired import Paths
from trunkline.model.planned import AgentPlan
from trunkline.plan.balancer import agent_metrics_name
from trunkline.wire.planned import parse_agent_plan

TIMEOUT_S = 0.5


async def read_agent_plan(paths: Paths) -> AgentPlan:
    """What it has decided last; a plan without a pid where no agent answers."""
    text = await fetch(agent_metrics_name(paths), PLAN, timeout_s=TIMEOUT_S)
    if text is None:
        return AgentPlan(pid=None, age_s=None, problem="no agent answers: HAProxy's own checks decide")
    plan = parse_agent_plan(text)
    return plan or AgentPlan(pid=None, age_s=None, problem="the agent is of another version: what it says is not known")
