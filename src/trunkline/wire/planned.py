"""What the agent has decided, as it tells `trunkline status`, and back. Field names are those of `model.planned`."""

from pydantic import TypeAdapter, ValidationError

from trunkline.model.planned import AgentPlan

PLAN = TypeAdapter(AgentPlan)


def write_agent_plan(plan: AgentPlan) -> bytes:
    """One document."""
    return PLAN.dump_json(plan)


def parse_agent_plan(text: bytes) -> AgentPlan | None:
    """None for any other text: the agent may be of another version. What is unknown to this one is left out."""
    try:
        return PLAN.validate_json(text)
    except ValidationError:
        return None
