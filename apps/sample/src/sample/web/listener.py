"""Where the page is listened for, before there is a page."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """A socket that connections to the page arrive at.

    Raises:
        ValueError: The address is not of this machine, or the port is taken or none.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"a port is from 0 to 65,535, got {port}; 0 takes any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"can't listen at {host}, port {port} ({error}); try another --port, 0 for any"
        ) from error
