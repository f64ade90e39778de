"""When a target is trained again: the policy, without Dagster."""
