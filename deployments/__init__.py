"""When and where the flows run: schedules, ``serve`` and ``prefect.yaml``."""
