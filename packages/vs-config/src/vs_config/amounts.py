"""Amounts as people read them."""


def show_bytes(count: float) -> str:
    """Return a size with a unit: `1.4 GiB`."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB"):
        if count < 1024:
            break
        count, unit = count / 1024, larger
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"


def show_duration(seconds: float) -> str:
    """Return a time as `42s`, `3m10s`, `2h05m` or `4d07h`."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"
