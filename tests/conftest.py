"""Fixtures that several files of tests use."""

from types import SimpleNamespace

import pytest


@pytest.fixture
def no_device():
    """Let Numba compile functions for the device, which ask for its generation, without one."""
    from devices import AVAILABLE, CAPABILITIES
    from numba.cuda import dispatcher
    from numba.cuda.cudadrv import nvvm

    try:
        nvvm.NVVM()
    except Exception as error:
        pytest.skip(f"numba-cuda finds no compiler: {error}")
    with pytest.MonkeyPatch.context() as patch:
        oldest = SimpleNamespace(compute_capability=CAPABILITIES[0])
        if not AVAILABLE:
            patch.setattr(dispatcher, "get_current_device", lambda: oldest)
        yield
