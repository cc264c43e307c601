"""A plugin for pytest, given by `-p` since it must come before others: it starts in half the time.

jsonschema would check IRIs by rfc3987_syntax, of which notebooks have none: its grammar, compiled
as it is imported, takes over a second, in each worker.
"""

import sys

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
