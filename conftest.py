"""What the tests of all packages share."""

from hypothesis import settings
from jaxtyping import install_import_hook

# No test asserts on seconds: hypothesis' 200 ms for an example are missed where a machine is busy.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Every call checks its shapes and types. "Tower": an int is a float, too, as PEP 484 has it. Not by
# the option --jaxtyping-packages: with such a checker it misreads a list of packages.
install_import_hook(
    ["nnparts", "optimkit", "trainkit"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)
