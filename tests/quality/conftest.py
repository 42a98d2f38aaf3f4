from tests.flows.conftest import no_environment  # noqa: F401
