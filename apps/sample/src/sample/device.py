"""Where tensors live: the one place in the workspace that picks a device."""

import torch


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; for "auto" the accelerator if there is one, else the CPU.

    Raises:
        ValueError: A device that torch does not know or this machine does not have.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no device {name!r} here ({reason}); try auto or cpu") from error
    return torch.device(name)
