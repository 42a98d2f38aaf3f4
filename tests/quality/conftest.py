from tests.flows.conftest import copied, finished, no_environment  # noqa: F401
