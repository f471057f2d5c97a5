"""End-to-end tests: failing checks that several files share tell what differed."""

import pytest

pytest.register_assert_rewrite("tests.e2e.stored")
