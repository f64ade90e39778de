"""What of Dagster's private modules is used, and why: nothing else imports them (a test holds it).

Here is what loading the code location may import; the rest, which brings SQLAlchemy, is in `_compat.storage`.
"""

# A materialisation's data version is public when it is made, and when it is read back only this tag of the event.
from dagster._core.definitions.data_version import DATA_VERSION_TAG as DATA_VERSION_TAG

# The public `in_process_executor` cannot be extended by the lock that shows a run to live; this is its config.
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG as IN_PROC_CONFIG

# Definitions name the component that made them by such a value, which Dagster itself adds to copies only.
from dagster._core.definitions.metadata.metadata_value import ObjectMetadataValue as ObjectMetadataValue

# What `define_asset_job` returns has no public name.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

# In the signature of an executor's `execute`.
from dagster._core.execution.context.system import PlanOrchestrationContext as PlanOrchestrationContext

# In the signature of an executor's `execute`.
from dagster._core.execution.plan.plan import ExecutionPlan as ExecutionPlan

# `get_run_step_stats` is public, the names of its statuses are not.
from dagster._core.execution.stats import StepEventStatus as StepEventStatus

# The base of an executor with a lock (see IN_PROC_CONFIG).
from dagster._core.executor.in_process import InProcessExecutor as InProcessExecutor

# Where a run's code server listens: it tells a run that nobody executes from one that has not begun.
from dagster._core.storage.tags import GRPC_INFO_TAG as GRPC_INFO_TAG

AssetJob = UnresolvedAssetJobDefinition
DAEMON = "dagster._daemon"  # `python -m`: the command `dagster-daemon` may not be on the path
