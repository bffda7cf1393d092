"""What the tests of all packages share."""

from hypothesis import settings

# No test asserts on seconds: hypothesis' 200 ms for an example are missed where a machine is busy.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
