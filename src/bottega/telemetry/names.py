"""The names of spans' attributes, in one place: OpenTelemetry's conventions for generative AI are not settled yet.

Pinned to the semantic conventions 0.66b2. What they have no name for is `bottega.`. No name here is for words of people
or models: what was asked and answered is in no span.
"""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
WORKFLOW = "gen_ai.workflow.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
ERROR = "error.type"

CHAT = "chat"  # values of OPERATION
INVOKE_WORKFLOW = "invoke_workflow"
PROVIDERS = {"google": "gcp.gemini"}  # ours -> theirs; any other stands for itself

RUN = "bottega.run.id"
STEP = "bottega.step.kind"
STEP_NUMBER = "bottega.step.number"
TASK = "bottega.task.key"
OUTCOME = "bottega.step.outcome"
CREDITS = "bottega.credits"
ATTEMPT = "bottega.attempt"
COST_USD = "bottega.cost_usd"
