"""For the API pages: the classes of a stub are made by `__new__`, as the binary makes them."""

from typing import Any

from griffe import Class, Extension, Function


class StubClasses(Extension):
    """Takes a class's arguments from `__new__` where it has no `__init__`."""

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Called by griffe when all members of a class are known."""
        new = cls.members.get("__new__")
        if isinstance(new, Function) and "__init__" not in cls.members:
            del cls.members["__new__"], new.parameters["cls"]
            new.name = "__init__"
            cls.members["__init__"] = new
