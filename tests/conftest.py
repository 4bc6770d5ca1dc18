"""Hypothesis profiles: the default run repeats itself exactly, the one named nightly looks further."""

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
settings.register_profile(
    "nightly", max_examples=3000, stateful_step_count=80, deadline=None, print_blob=True
)
settings.load_profile("quick")
