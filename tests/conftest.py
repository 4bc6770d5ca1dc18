"""Hypothesis profiles, each of which repeats itself exactly but the one that looks further; plain logs."""

import structlog
from hypothesis import Phase, settings

settings.register_profile(
    "quick",
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Making a failing example small can take minutes: the nightly profile does.
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("check", settings.get_profile("quick"), max_examples=20)
settings.register_profile(
    "nightly", max_examples=3000, stateful_step_count=80, deadline=None, print_blob=True
)
settings.load_profile("quick")

# With Rich installed, structlog draws each traceback with all its locals, for a third of a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
